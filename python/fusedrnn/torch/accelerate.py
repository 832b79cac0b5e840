"""`accelerate` makes the recurrent layers of a model fusedrnn's, in place; `restore` makes them torch.nn's again."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from fusedrnn.torch._fallback import reason_of_parameters
from fusedrnn.torch.cells import GRUCell, LSTMCell, RNNCell
from fusedrnn.torch.layers import GRU, LSTM, RNN

_OURS: dict[Any, Any] = {kind.torch_class: kind for kind in (LSTM, GRU, RNN, LSTMCell, GRUCell, RNNCell)}


class Report(NamedTuple):
    """What `accelerate` found in a model, by the names that `model.named_modules()` gives; "" is the model itself.

    Printed, it is a line each.
    """

    swapped: list[str]
    """The layers that run on fusedrnn from now on."""

    waiting: dict[str, str]
    """Those of `swapped` that fall back to PyTorch's own code as they are now, and why: on a GPU, say."""

    left: dict[str, str]
    """The recurrent layers that stay as they were, and why."""

    def __str__(self) -> str:
        lines = [f"{_shown(name)}: on fusedrnn" for name in self.swapped if name not in self.waiting]
        lines += [f"{_shown(name)}: on fusedrnn once it can be; now {why}" for name, why in self.waiting.items()]
        lines += [f"{_shown(name)}: left, {why}" for name, why in self.left.items()]
        return "\n".join(lines) or "no recurrent layer"


def accelerate(model: Any) -> Report:
    """Let every torch.nn.LSTM, GRU, RNN, LSTMCell, GRUCell and RNNCell of a model run on fusedrnn.

    The layers stay the same objects, with the same parameters, hooks and names: only their class changes, so that an
    optimiser, or whoever else holds them or their parameters, goes on as before. A model that is pickled or saved
    afterwards is written with torch.nn's classes, and loads where fusedrnn is not installed.

    Args:
        model: a torch.nn.Module; it may be such a layer itself.

    Returns:
        A `Report`: what was swapped, and what was left and why.

    Raises:
        TypeError: model is not a torch.nn.Module.
    """
    report = Report([], {}, {})
    for name, module in _modules(model):
        reason = _reason_to_leave(module)
        if reason:
            report.left[name] = reason
            continue
        if type(module) in _OURS:
            module.__class__ = _OURS[type(module)]
            module.__dict__["_accelerated"] = True
        report.swapped.append(name)
        waiting = reason_of_parameters(module._params())
        if waiting:
            report.waiting[name] = waiting
    return report


def restore(model: Any) -> list[str]:
    """Make every recurrent layer of `fusedrnn.torch` in a model torch.nn's own again.

    For torch.jit.script, say, or to compare. The layers stay the same objects, with the same parameters.

    Args:
        model: a torch.nn.Module; it may be such a layer itself.

    Returns:
        The names of those that were changed.

    Raises:
        TypeError: model is not a torch.nn.Module.
    """
    changed = []
    for name, module in _modules(model):
        if type(module) in _OURS.values():
            module.__class__ = module.torch_class
            for own in ("_accelerated", "_bound", "_told"):
                module.__dict__.pop(own, None)
            changed.append(name)
    return changed


def _modules(model: Any) -> list[tuple[str, Any]]:
    """The recurrent layers and cells of a model, by name."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}")
    return [(name, module) for name, module in model.named_modules() if _is_recurrent(module)]


def _is_recurrent(module: Any) -> bool:
    known = (torch.nn.RNNBase, torch.nn.RNNCellBase)
    name = getattr(module, "original_name", type(module).__name__)  # of a TorchScript module
    return isinstance(module, known) or name in {kind.__name__ for kind in _OURS}


def _reason_to_leave(module: Any) -> str | None:
    if isinstance(module, torch.jit.ScriptModule):
        return "a TorchScript module: accelerate the model it was made from"
    if type(module) not in _OURS and type(module) not in _OURS.values():
        kind = type(module)
        return f"of a class of its own, {kind.__module__}.{kind.__qualname__}"
    if "forward" in module.__dict__:
        return "its forward was replaced"
    return None


def _shown(name: str) -> str:
    return name or "the model itself"
