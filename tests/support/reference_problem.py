"""For the tests of the reference: a layer with inputs and a loss, and central differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import kinds
from problems import parts, state_like

EPS = float(np.finfo(np.float64).eps)
# Central differences: truncation error ~ step^2 and rounding error ~ eps / step are equal, and least, at this step.
STEP = EPS ** (1 / 3)
DIFFERENCE_TOLERANCE = 100 * STEP**2  # third derivatives and losses here are of order 1 to 100
# The same sums in another order: a few hundred terms of order 1.
SAME = 1000 * EPS

KINDS = (*kinds.KINDS, *kinds.ONLY_IN_REFERENCE)
ONE_OF_EACH = (*kinds.ONE_OF_EACH, *kinds.ONLY_IN_REFERENCE)

T, B, IN, H = 5, 3, 2, 3
LENGTHS = np.array([3, 5, 0])
RESET = np.zeros((T, B), bool)
RESET[2, 0] = RESET[0, 1] = RESET[3, 1] = RESET[4, 1] = RESET[4, 0] = True  # first step, last step, padding, mid


def build(kind: str, inputs: int, hidden: int, **options: Any) -> Any:
    layer = kinds.CELLS[kind.split()[0]].reference(inputs, hidden, **kinds.options_of(kind, hidden), **options)
    generator = np.random.default_rng(5)
    for name, value in layer.params.items():  # larger than the initial values: gates leave their linear middle
        value[...] = generator.normal(scale=0.7, size=value.shape)
        assert layer.params[name] is value
    return layer


def random_state(layer: Any, batch: int, rng: np.random.Generator) -> Any:
    zero = layer(np.zeros((0, batch, layer.sizes.input_size)))[1] if not layer.batch_first else None
    assert zero is not None
    return state_like(zero, (rng.normal(size=a.shape) for a in parts(zero)))


def rows(state: Any, which: Any) -> Any:
    return state_like(state, (a[:, which] for a in parts(state)))


def close(got: Any, want: Any, what: str = "", tolerance: float = SAME) -> None:
    for a, b in zip(parts(got), parts(want), strict=True):
        assert a.shape == b.shape, what
        scale = 1 + np.abs(b).max(initial=0)
        assert np.abs(a - b).max(initial=0) <= tolerance * scale, what


def close_gradients(got: Any, want: Any) -> None:
    close(got.x, want.x, "x")
    close(got.state, want.state, "state")
    assert list(got.params) == list(want.params)
    for name in want.params:
        close(got.params[name], want.params[name], name)


def differences(loss: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """d loss / d array by central differences; ``array`` is changed in place and put back."""
    slope = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + STEP
        above = loss()
        array[index] = kept - STEP
        below = loss()
        array[index] = kept
        slope[index] = (above - below) / (2 * STEP)
    return slope


class ReferenceProblem:
    """A layer, its inputs, and a loss linear in y and the final state: everything a gradient check needs."""

    def __init__(
        self, kind: str, lengths: Any = None, reset: Any = None, dropout: bool = False, **options: Any
    ) -> None:
        rng = np.random.default_rng(11)
        self.layer = build(kind, IN, H, **options)
        self.x = rng.normal(size=(T, B, IN))
        self.state = random_state(self.layer, B, rng)
        self.lengths, self.reset = lengths, reset
        y, final = self.layer(self.x, self.state)
        self.dy = rng.normal(size=y.shape)
        self.dstate = state_like(final, (rng.normal(size=a.shape) for a in parts(final)))
        depth = self.layer.sizes.num_layers
        keep = rng.random((depth - 1, *y.shape)) < 0.6
        self.masks = list(keep / 0.6) if dropout else None

    def record(self) -> Any:
        return self.layer.record(self.x, self.state, self.lengths, self.reset, self.masks)

    def backward(self, truncate: int | None = None) -> Any:
        return self.record()[2].backward(self.dy, self.dstate, truncate)

    def loss(self) -> float:
        y, final, _ = self.record()
        return float(
            (y * self.dy).sum() + sum((a * b).sum() for a, b in zip(parts(final), parts(self.dstate), strict=True))
        )

    def inputs(self) -> Iterator[tuple[str, np.ndarray, Callable[[Any], np.ndarray]]]:
        """Every array the loss depends on, and where its gradient is found."""
        yield "x", self.x, lambda g: g.x
        for k, part in enumerate(parts(self.state)):
            yield f"state {k}", part, lambda g, k=k: parts(g.state)[k]
        for name, value in self.layer.params.items():
            yield name, value, lambda g, name=name: g.params[name]

    def check(self, loss: Callable[[], float] | None = None, truncate: int | None = None) -> None:
        g = self.backward(truncate)
        for what, array, find in self.inputs():
            close(find(g), differences(loss or self.loss, array), what, DIFFERENCE_TOLERANCE)
