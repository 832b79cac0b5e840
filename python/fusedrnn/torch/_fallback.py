"""Why a call runs on PyTorch's own code, and the warning that says so."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from fusedrnn import _checks
from fusedrnn.torch._weights import PLAIN


class FallbackWarning(UserWarning):
    """A layer of `fusedrnn.torch` ran on PyTorch's own code."""


_enabled = False


def warn_of_fallback(enabled: bool = True) -> None:
    """Warn where a layer or cell falls back to PyTorch's own code: once for each of them and reason, with the reason.

    Args:
        enabled: whether to warn, from now on. Without a call of this function nothing is said.

    Raises:
        TypeError: enabled is not a bool.

    Warns (later):
        FallbackWarning: the layer, and the reason, as its `why_not` gives it.
    """
    global _enabled
    _enabled = _checks.boolean("enabled", enabled)


def tell(module: Any, reason: str) -> None:
    """Warn of a fallback, if that is wanted and this module has not said so before."""
    if not _enabled or torch.compiler.is_compiling():
        return
    told = module.__dict__.setdefault("_told", set())
    if reason not in told:
        told.add(reason)
        warnings.warn(f"{module}: runs on PyTorch's own code: {reason}", FallbackWarning, stacklevel=5)


def reason_of_parameters(params: Sequence[Any]) -> str | None:
    """Why fusedrnn does not compute with these parameters, or None."""
    first = params[0]
    for param in params:
        if not isinstance(param, torch.Tensor):
            return f"a parameter is {param!r}, not a tensor"
        if param.device.type != "cpu":
            return f"its parameters are on {param.device}, fusedrnn computes on a CPU"
        if param.dtype not in (torch.float32, torch.float64):
            return f"its parameters are {_name(param.dtype)}, fusedrnn computes in float32 and float64"
        if param.dtype != first.dtype:
            return f"its parameters are {_name(first.dtype)} and {_name(param.dtype)}, of one dtype they could run"
        if param.layout != torch.strided:
            return f"its parameters are laid out as {param.layout}, not as plain arrays"
        reason = _reason_of_type(param)
        if reason:
            return reason
    return None


def reason_of_moment() -> str | None:
    """Why fusedrnn does not compute now, or None."""
    if torch.compiler.is_compiling():
        return None
    if torch._C._get_tracing_state():
        return "torch.jit.trace and ONNX export take PyTorch's own operators"
    if torch._C._are_functorch_transforms_active():
        return "torch.func's transforms (vmap, grad, jvp) go through PyTorch's own operators"
    return None


def reason_of_input(x: Any, params: Sequence[Any]) -> str | None:
    """Why fusedrnn does not take this input or state, or None."""
    if type(x) is torch.Tensor and x.is_cpu and x.dtype == params[0].dtype and x.layout == torch.strided:
        return None if torch.compiler.is_compiling() or not x.is_neg() else "the input is a negated view"  # usual first
    if not isinstance(x, torch.Tensor):
        return f"the input is of type {type(x).__name__}"
    if x.device.type != "cpu":
        return f"the input is on {x.device}, fusedrnn computes on a CPU"
    if x.layout != torch.strided:
        return "the input is not laid out as a plain array"
    if x.dtype != params[0].dtype:
        return f"the input is {_name(x.dtype)} and the parameters are {_name(params[0].dtype)}"
    return _reason_of_type(x)


def _reason_of_type(tensor: Any) -> str | None:
    if torch.compiler.is_compiling() or type(tensor) in PLAIN or isinstance(tensor, FakeTensor):
        return None
    return f"it has to do with a {type(tensor).__name__}, a subclass of Tensor with ways of its own"


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
