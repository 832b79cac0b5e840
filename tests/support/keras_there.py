"""Keras for the tests against it: without it they are skipped, except under CI, which installs it.

Keras runs on PyTorch unless KERAS_BACKEND says otherwise: on JAX every new shape is compiled, for seconds.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
BACKEND = os.environ["KERAS_BACKEND"]

if os.environ.get("CI"):
    import h5py
    import keras
else:
    reason = "is not installed: no parity with Keras is shown"
    h5py = pytest.importorskip("h5py", reason=f"h5py {reason}")
    pytest.importorskip(BACKEND, reason=f"{BACKEND} {reason}")
    keras = pytest.importorskip("keras", reason=f"keras {reason}")

__all__ = ["BACKEND", "gradients", "h5py", "keras", "numpy_of", "use_floats"]

# Keras rounds products of float64 to float32 everywhere but on TensorFlow. Both can do it right, and tests need it.
importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE.clear()

if BACKEND == "torch":
    importlib.import_module("torch").set_num_threads(1)  # the problems are small
else:
    importlib.import_module("jax").config.update("jax_enable_x64", True)


def use_floats(dtype: str) -> None:
    """What layers have that are told nothing; some functions and initial states follow it whatever their layer has."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


def numpy_of(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor)


def gradients(layer: Any, x: np.ndarray, states: list[np.ndarray], weigh: Any, **call: Any) -> tuple[Any, Any, Any]:
    """(of x, of each initial state, of each trainable variable) of weigh(outputs), a sum."""
    if BACKEND == "torch":
        return _by_torch(layer, x, states, weigh, call)
    return _by_jax(layer, x, states, weigh, call)


def _by_torch(layer: Any, x: np.ndarray, states: list[np.ndarray], weigh: Any, call: dict[str, Any]) -> Any:
    torch = importlib.import_module("torch")
    x_tensor, *state_tensors = (torch.tensor(a, requires_grad=True) for a in (x, *states))
    variables = [v.value for v in layer.trainable_variables]
    for value in variables:
        value.grad = None
    if states:
        call = {**call, "initial_state": state_tensors}
    weigh(layer(x_tensor, **call)).backward()
    found = [
        np.zeros(tuple(t.shape), x.dtype) if t.grad is None else t.grad.numpy().copy()
        for t in (x_tensor, *state_tensors, *variables)
    ]
    return found[0], found[1 : 1 + len(states)], found[1 + len(states) :]


def _by_jax(layer: Any, x: np.ndarray, states: list[np.ndarray], weigh: Any, call: dict[str, Any]) -> Any:
    jax = importlib.import_module("jax")
    others = [v.value for v in layer.non_trainable_variables]

    def loss(variables: Any, x: Any, states: Any) -> Any:
        more = {**call, "initial_state": list(states)} if states else call
        out, _ = layer.stateless_call(variables, others, x, **more)
        return weigh(out)

    of_variables, of_x, of_states = jax.grad(loss, (0, 1, 2))([v.value for v in layer.trainable_variables], x, states)
    return np.asarray(of_x), [np.asarray(g) for g in of_states], [np.asarray(g) for g in of_variables]
