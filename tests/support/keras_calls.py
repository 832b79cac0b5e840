"""One call of a layer of Keras as a call of ours: arguments one way, results the other, as docs/howto/keras.md says."""

from __future__ import annotations

from typing import Any

import numpy as np

import fusedrnn as fr
from keras_cases import Case
from keras_there import BACKEND

__all__ = ["as_keras", "check", "flat", "our_call", "our_state"]


def our_call(layer: Any, case: Case, record: bool = False) -> tuple[Any, ...]:
    options: dict[str, Any] = {} if case.mask is None else {"mask": case.mask, "held": case.held}
    return (layer.record if record else layer)(case.x, our_state(layer, case.states), **options)


def our_state(layer: Any, states: list[np.ndarray]) -> Any:
    """Keras's list, direction by direction, as our state."""
    if not states:
        return None
    if isinstance(layer, fr.LSTM):
        return np.stack(states[0::2]), np.stack(states[1::2])
    return np.stack(states)


def as_keras(layer: Any, case: Case, y: np.ndarray, state: Any) -> list[np.ndarray]:
    """Our outputs as Keras returns them: docs/howto/keras.md in code."""
    theirs = case.layer
    h, c = state if isinstance(state, tuple) else (state, None)
    units = h.shape[-1]
    if not theirs.return_sequences:
        y = merged(h, theirs.merge_mode) if case.bidirectional else h[0]
    elif layer.reverse:
        y = y[:, ::-1]
    split = case.bidirectional and theirs.merge_mode is None
    found = [y[..., :units], y[..., units:]] if split else [y]
    if theirs.return_state:
        found += [part[k] for k in range(len(h)) for part in ((h,) if c is None else (h, c))]
    return found


def merged(h: np.ndarray, mode: str | None) -> np.ndarray:
    if mode in ("sum", "ave"):
        return h[0] + h[1] if mode == "sum" else (h[0] + h[1]) / 2
    return h[0] * h[1] if mode == "mul" else np.concatenate(h, axis=-1)


def flat(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (list, tuple)) else [out]


def check(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Two ways to the same number, with activations that may grow: the tolerance is of the array's scale."""
    bound = 1e-11 if theirs.dtype == np.float64 else 2e-5
    if what.startswith("d") and BACKEND == "torch" and "hard_sigmoid" in what:
        bound = 1e-6  # the slope of torch's own is 1/6 in float32
    if BACKEND == "torch" and "softplus" in what:
        bound = max(bound, 1e-8)  # torch's own is the identity above 20, where it should be 2e-9 more
    assert ours.shape == theirs.shape, what
    np.testing.assert_allclose(
        ours, theirs, rtol=bound, atol=bound * max(1.0, np.abs(theirs).max(initial=0.0)), err_msg=what
    )
