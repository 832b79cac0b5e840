"""A character model: embedding 128, 256 units, 97 characters, 32 rows of 64 steps, clipping, Adam, a carried state."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["CELLS", "CHARACTERS", "IMPLEMENTATIONS", "Trainer"]

CELLS = ("lstm", "gru")
TOKENS, EMBEDDING, UNITS, ROWS, STEPS = 97, 128, 256, 32, 64
CHARACTERS = ROWS * STEPS
"""In a training step."""
LEARNING_RATE, MAX_NORM = 2e-3, 1.0

Trainer = Callable[[], Any]
"""One training step."""


def batches(count: int = 8) -> list[tuple[Any, Any]]:
    """Characters and what follows them: the speed does not depend on what they say."""
    text = np.random.default_rng(0).integers(0, TOKENS, (count * STEPS + 1, ROWS))
    return [(text[i : i + STEPS], text[i + 1 : i + STEPS + 1]) for i in range(0, count * STEPS, STEPS)]


class Fused:
    """The job with fusedrnn."""

    def __init__(self, cell: str) -> None:
        import fusedrnn as fr

        self._norm = fr.optim.grad_norm
        layer = {"lstm": fr.LSTM, "gru": fr.GRU}[cell](EMBEDDING, UNITS, rng=0)
        parts = fr.nn.Embedding(TOKENS, EMBEDDING, rng=0), layer, fr.nn.Linear(UNITS, TOKENS, rng=0)
        self._model = fr.nn.Sequential(*parts)
        self._optimiser = fr.optim.Adam(self._model.params, lr=LEARNING_RATE)
        self._batches, self._step = batches(), 0
        self._state: Any = None
        self.recurrent_seconds = 0.0
        self._watch(layer)

    def step(self) -> None:
        """One training step."""
        x, targets = self._batches[self._step % len(self._batches)]
        self._step += 1
        _, self._state, tape = self._model.record_loss(x, targets, state=self._state)
        gradients = tape.backward()
        norm = self._norm(gradients)
        self._optimiser.step(gradients, scale=min(1.0, MAX_NORM / norm))

    def _watch(self, layer: Any) -> None:
        """Count the seconds within the recurrent layer: its record, and its tape's backward."""
        record = layer.record

        def timed(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                began = time.perf_counter()
                try:
                    return function(*arguments, **options)
                finally:
                    self.recurrent_seconds += time.perf_counter() - began

            return call

        def watched(*arguments: Any, **options: Any) -> Any:
            *results, tape = timed(record)(*arguments, **options)
            return (*results, _WatchedTape(timed(tape.backward)))

        layer.record = watched


class _WatchedTape:
    def __init__(self, backward: Callable[..., Any]) -> None:
        self.backward = backward


class Torch:
    """The job with PyTorch."""

    recurrent_seconds = 0.0

    def __init__(self, cell: str) -> None:
        self._torch = torch = importlib.import_module("torch")
        torch.manual_seed(0)
        self._embedding = torch.nn.Embedding(TOKENS, EMBEDDING)
        self._rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](EMBEDDING, UNITS)
        self._output = torch.nn.Linear(UNITS, TOKENS)
        self._params = [p for part in (self._embedding, self._rnn, self._output) for p in part.parameters()]
        self._optimiser = torch.optim.Adam(self._params, lr=LEARNING_RATE)
        self._batches = [(torch.from_numpy(x.copy()), torch.from_numpy(y.copy())) for x, y in batches()]
        self._step = 0
        self._state: Any = None

    def step(self) -> None:
        """One training step."""
        x, targets = self._batches[self._step % len(self._batches)]
        self._step += 1
        self._optimiser.zero_grad(set_to_none=True)
        y, state = self._rnn(self._embedding(x), self._state)
        self._state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        logits = self._output(y).reshape(-1, TOKENS)
        loss = self._torch.nn.functional.cross_entropy(logits, targets.reshape(-1))
        loss.backward()
        self._torch.nn.utils.clip_grad_norm_(self._params, MAX_NORM)
        self._optimiser.step()


IMPLEMENTATIONS: dict[str, Any] = {"fusedrnn": Fused, "torch": Torch}
