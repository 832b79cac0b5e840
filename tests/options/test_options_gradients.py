"""The gradients of every variant are the slopes of its loss: finite differences in float64.

Of x, of the initial state, and of every parameter, each along a random direction; with borders, lengths and masks that
have holes; the loss sees y, the final state and, where it says so, every layer's y.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from small_layers import arrays_in
from variants import I, every_variant, is_dilated, make, option

T, B = 7, 4
STEP = 1e-6
TOLERANCE = 2e-6
"""Of a slope of order one: rounding leaves 1e-16 / STEP of it, the third derivative STEP²; sums of a hundred terms."""

CALLS: dict[str, dict[str, Any]] = {
    "whole": {},
    "ragged": {"lengths": np.array([7, 0, 3, 5]), "reset": True},
    "mask": {"mask": True, "reset": True},
    "zero where held, every layer": {"mask": True, "held": "zero", "return_layers": True},
    "every layer": {"return_layers": True},
}


@every_variant
@pytest.mark.parametrize("call", CALLS)
def test_gradients_are_finite_differences(variant: str, call: str) -> None:
    problem = _Problem(variant, call)
    gradients = problem.gradients()
    problem.check("x", problem.x, gradients.x)
    for k, (array, gradient) in enumerate(zip(problem.state, arrays_in(gradients.state), strict=False)):
        problem.check(f"state {k}", array, gradient)
    assert list(gradients.params) == list(problem.layer.params)
    for name, array in problem.layer.params.items():
        problem.check(name, array, gradients[name])


class _Problem:
    """One call, and a loss: the sum of all its results, each times a random array."""

    def __init__(self, variant: str, call: str) -> None:
        self.rng = np.random.default_rng(5)
        self.layer = make(variant)
        self.options = dict(CALLS[call])
        for name, share in (("reset", 0.3), ("mask", 0.6)):
            if name in self.options:
                self.options[name] = self.rng.random((T, B)) < share
        if "mask" in self.options:
            self.options["mask"][:, 1] = False
            if option(variant, "merge", "concat") != "concat" and option(variant, "connection", None):
                self.options["held"] = "zero"
        self.x = self.rng.standard_normal((T, B, I))
        results = self.layer(self.x)
        self.state = [] if is_dilated(variant) or "learned" in variant else arrays_in(results[1])
        for array in self.state:
            array[...] = self.rng.standard_normal(array.shape)
        self.drawn = self.layer.rng.bit_generator.state
        self.weights = [self.rng.standard_normal(array.shape) for array in arrays_in(*self._record()[:-1])]

    def _record(self) -> Any:
        self.layer.rng.bit_generator.state = self.drawn
        state = (tuple(self.state) if len(self.state) == 2 else self.state[0]) if self.state else None
        return self.layer.record(self.x, state, **self.options)

    def loss(self) -> float:
        results = arrays_in(*self._record()[:-1])
        return float(sum((array * weight).sum() for array, weight in zip(results, self.weights, strict=True)))

    def gradients(self) -> Any:
        _, state, *more, tape = self._record()
        dy, *weights = self.weights
        dstate = [weights.pop(0) for _ in arrays_in(state)]
        return tape.backward(
            dy, tuple(dstate) if len(dstate) == 2 else dstate[0], **({"dlayers": weights} if more else {})
        )

    def check(self, name: str, array: np.ndarray, gradient: np.ndarray) -> None:
        """The loss's slope along a random direction of this array."""
        assert gradient.shape == array.shape, name
        direction, before = self.rng.standard_normal(array.shape), array.copy()
        array[...] = before + STEP * direction
        above = self.loss()
        array[...] = before - STEP * direction
        below = self.loss()
        array[...] = before
        got = float((gradient * direction).sum())
        assert abs((above - below) / (2 * STEP) - got) <= TOLERANCE * (1 + abs(got)), name
