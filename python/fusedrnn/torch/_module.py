"""What layers and cells share: their parameters, falling back, copies and pickles."""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from fusedrnn.torch import _fallback
from fusedrnn.torch._call import traced
from fusedrnn.torch._weights import Kind, Weights, weights_of

NOT_KEPT = ("_bound", "_told")
"""Attributes that belong to one process and one object."""


class Module:
    """Stands before a class of torch.nn among the bases of a class here."""

    torch_class: ClassVar[Any]
    """The class of torch.nn that it stands for."""

    _names: ClassVar[Sequence[str]] = ()

    _bound: Weights | None = None
    """The weights of the last call."""

    _accelerated = False
    """Whether `accelerate` made it what it is: then it is pickled as torch.nn's."""

    __dict__: dict[str, Any]

    def _parameter_names(self) -> Sequence[str]:
        raise NotImplementedError

    def _kind(self) -> Kind:
        raise NotImplementedError

    def _params(self) -> list[Any]:
        """The tensors that are the parameters now: also those of `functional_call`, or made by weight_norm."""
        own = self.__dict__["_parameters"]
        return [own[name] if name in own else getattr(self, name) for name in self._parameter_names()]

    def _reason(self, x: Any, states: Sequence[Any], params: Sequence[Any]) -> str | None:
        """Why a call with this input and state does not run on fusedrnn, or None."""
        reason = _fallback.reason_of_moment()
        if reason is None and not self._is_bound_to(params):
            reason = _fallback.reason_of_parameters(params)
            if reason is None and not traced(x):
                self._bound_to(params)
        for tensor in (x, *states):
            reason = reason or _fallback.reason_of_input(tensor, params)
        return reason

    def why_not(self, input: Any = None) -> str | None:
        """Why a call falls back to PyTorch's own code.

        Args:
            input: what the layer would be called with; None to ask for its parameters only.

        Returns:
            The reason in words, or None: the call runs on fusedrnn.
        """
        params = self._params()
        if input is None:
            return _fallback.reason_of_moment() or _fallback.reason_of_parameters(params)
        x = input.data if isinstance(input, torch.nn.utils.rnn.PackedSequence) else input
        return self._reason(autocast_to(params[0], x)[0] if isinstance(x, torch.Tensor) else x, (), params)

    def _is_bound_to(self, params: Sequence[Any]) -> bool:
        """Whether these are the parameters of the last call, where they were."""
        bound = None if torch.compiler.is_compiling() else self._bound
        return bound is not None and bound.is_of(params)

    def _bound_to(self, params: Sequence[Any]) -> Weights:
        """The weights of these parameters, kept for the next call."""
        bound = weights_of(self._kind(), params)
        self.__dict__["_bound"] = bound if bound.in_place else None
        return bound

    # Copies and pickles

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """torch.nn.Module's: what moves or converts the parameters. Their old memory is let go."""
        self.__dict__.pop("_bound", None)
        return super()._apply(fn, recurse)  # type: ignore[misc]

    def __getstate__(self) -> dict[str, Any]:
        if "_flat_weights_names" in self.__dict__:  # a layer: torch.nn has more to say
            state: dict[str, Any] = super().__getstate__()  # type: ignore[misc]
        else:
            state = dict(self.__dict__)
        return {name: value for name, value in state.items() if name not in NOT_KEPT}

    def __copy__(self) -> Any:
        return self._with_state(self.__getstate__())

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._with_state(copy.deepcopy(self.__getstate__(), memo))

    def _with_state(self, state: dict[str, Any]) -> Any:
        made = type(self).__new__(type(self))
        made.__setstate__(state)  # type: ignore[attr-defined]
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        """One that `accelerate` made is pickled as torch.nn's class, to be loaded where there is no fusedrnn."""
        if not self._accelerated:
            return super().__reduce_ex__(protocol)
        state = {name: value for name, value in self.__getstate__().items() if name != "_accelerated"}
        # Not __newobj__: pickle would want it to make this very class.
        return copyreg._reconstructor, (self.torch_class, object, None), state  # type: ignore[attr-defined]


def autocast_to(param: Any, *tensors: Any) -> Sequence[Any]:
    """Under autocast, half precision as float32: fusedrnn computes in the parameters' dtype."""
    if param.dtype != torch.float32 or not torch.is_autocast_enabled("cpu"):
        return tensors
    half = (torch.bfloat16, torch.float16)
    return [t.float() if isinstance(t, torch.Tensor) and t.dtype in half else t for t in tensors]
