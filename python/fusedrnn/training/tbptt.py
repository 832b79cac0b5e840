"""Truncated backpropagation through time over a sequence that is longer than memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.nn import losses
from fusedrnn.nn.model import Loss, States
from fusedrnn.nn.sequential import Sequential

__all__ = ["Update", "tbptt"]


@dataclass(frozen=True)
class Update:
    """What one window of `tbptt` gave.

    Attributes:
        loss: the loss of the window's last k1 steps.
        gradients: of every parameter by name.
        state: of the model after the window.
        step: time steps read so far.
    """

    loss: float
    gradients: dict[str, Array]
    state: States
    step: int


def tbptt(
    model: Sequential,
    chunks: Iterable[Any],
    loss: Loss = losses.cross_entropy,
    *,
    k1: int,
    k2: int | None = None,
    state: States | None = None,
) -> Iterator[Update]:
    """Every k1 steps the gradient of those steps' loss, which flows back through the last k2 steps at most
    (Williams and Peng 1990, BPTT(k2; k1)).

        for update in fr.tbptt(model, chunks, k1=64, k2=128):
            optimiser.step(update.gradients)

    The steps of a window before its last k1 are run again, with the parameters as they are then, from the state before
    them. With k1 = k2 no step is run twice. Memory holds one window and one chunk, whatever the length.

    With dropout and k1 = k2 each step has one mask, and the state goes on as training made it. With k2 > k1 each run of
    a step draws a mask of its own, and the state before a window is advanced by a call, without dropout: the gradient
    is exact for the window's own masks and for that state.

    Args:
        model: a Sequential whose output is a sequence.
        chunks: (x, targets) or (x, targets, reset) of any numbers of steps, one after the other of the same rows, laid
            out as the model takes them. reset is true at the first step of each episode.
        loss: as of `Sequential.record_loss`.
        k1: steps from one update to the next; the last update may have fewer.
        k2: steps that a gradient flows back, at least k1; None: k1.
        state: what the model begins with; None for zeros.

    Raises:
        ValueError: k1 < 1, k2 < k1, or chunks that do not fit together.
        TypeError: the model is no Sequential, or chunks cannot be iterated over.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model: expected a Sequential, got {_checks.describe(model)}")
    if not isinstance(chunks, Iterable):
        raise TypeError(f"chunks: expected an iterable of (x, targets), got {_checks.describe(chunks)}")
    if not callable(loss):
        raise TypeError(f"loss: expected a function of (y, targets), got {_checks.describe(loss)}")
    every = _checks.integer("k1", k1, 1)
    reach = every if k2 is None else _checks.integer("k2", k2, every)
    return _updates(model, chunks, loss, every, reach, state)


def _updates(
    model: Sequential, chunks: Iterable[Any], loss: Loss, every: int, reach: int, state: States | None
) -> Iterator[Update]:
    window = _Window(1 if model.batch_first else 0)
    arriving = iter(chunks)
    done = 0  # steps that have had their update
    more = True
    while True:
        while more and window.end < done + every:
            chunk = next(arriving, None)
            more = chunk is not None
            if chunk is not None:
                window.append(chunk)
        end = min(window.end, done + every)
        if end == done:
            return
        begin = max(end - reach, 0)
        if begin > window.begin:  # the state before the window, with the parameters as they are now
            x, _, reset = window.slice(window.begin, begin)
            state = model(x, state, reset=reset)[1]
            window.forget(begin)
        update, after = _one_update(model, window, loss, state, done, end)
        if reach <= every and end > begin:
            state = after
            window.forget(end)
        done = end
        yield update


def _one_update(
    model: Sequential, window: _Window, loss: Loss, state: States | None, done: int, end: int
) -> tuple[Update, States]:
    before = None
    if window.begin < done:
        x, _, reset = window.slice(window.begin, done)
        y, state, before = model.record(x, state, reset=reset)
    x, targets, reset = window.slice(done, end)
    value, after, tape = model.record_loss(x, targets, loss, state, reset=reset)
    found = tape.backward()
    gradients = dict(found.params)
    if before is not None:
        past = before.backward(np.zeros_like(y), found.state)
        for name, gradient in past.params.items():
            gradients[name] += gradient
    return Update(value, gradients, after, end), after


class _Window:
    """The steps that are still needed, numbered from the beginning of the sequence."""

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._parts: list[tuple[Array, Array, Array]] = []
        self.begin = self.end = 0

    def append(self, chunk: Any) -> None:
        if not isinstance(chunk, tuple) or len(chunk) not in (2, 3):
            raise ValueError(f"chunks: expected (x, targets) or (x, targets, reset), got {_checks.describe(chunk)}")
        x, targets = (
            _checks.as_array(name, value, "an array") for name, value in zip(("x", "targets"), chunk[:2], strict=True)
        )
        marks = np.zeros(x.shape[:2], np.bool_) if len(chunk) == 2 else _checks.mask_array("reset", chunk[2])
        for name, array in (("x", x), ("targets", targets), ("reset", marks)):
            if array.ndim < 2 or array.shape[:2] != x.shape[:2]:
                raise ValueError(f"{name}: expected time and batch axes {x.shape[:2]}, got shape {array.shape}")
        if self._parts and self._parts[-1][0].shape[1 - self._axis] != x.shape[1 - self._axis]:
            raise ValueError(f"x: expected {self._parts[-1][0].shape[1 - self._axis]} rows as before, got {x.shape}")
        if x.shape[self._axis]:
            self._parts.append((x, targets, marks))
            self.end += x.shape[self._axis]

    def slice(self, begin: int, end: int) -> tuple[Array, Array, Array | None]:
        x, targets, marks = (self._joined(which, begin, end) for which in range(3))
        return x, targets, marks if marks.any() else None

    def _joined(self, which: int, begin: int, end: int) -> Array:
        pieces, at = [], self.begin
        for part in self._parts:
            array = part[which]
            steps = array.shape[self._axis]
            first, last = max(begin - at, 0), min(end - at, steps)
            if first < last:
                pieces.append(array[:, first:last] if self._axis else array[first:last])
            at += steps
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=self._axis)

    def forget(self, begin: int) -> None:
        """Drop the steps before `begin`."""
        while self._parts and self.begin < begin:
            steps = self._parts[0][0].shape[self._axis]
            drop = min(begin - self.begin, steps)
            if drop == steps:
                self._parts.pop(0)
            else:
                self._parts[0] = tuple(  # type: ignore[assignment]
                    array[:, drop:] if self._axis else array[drop:] for array in self._parts[0]
                )
            self.begin += drop
