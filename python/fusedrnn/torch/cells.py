"""`LSTMCell`, `GRUCell` and `RNNCell`: torch.nn's own cells, computed by fusedrnn where it can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fusedrnn.torch import _call, _fallback, _step
from fusedrnn.torch._kernels import Call, Inputs
from fusedrnn.torch._module import Module, autocast_to
from fusedrnn.torch._weights import Kind

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class _Cell(Module):
    """One step of one layer: a network of one layer called with T = 1."""

    input_size: int
    hidden_size: int
    bias: bool

    def _parameter_names(self) -> Sequence[str]:
        return ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]

    def _forward(self, input: Any, states: Sequence[Any]) -> Any:
        """The new h and c, or None: the call is for PyTorch's own code. `states`: h and c, or none."""
        params = self._params()
        x, *states = autocast_to(params[0], input, *states)
        reason = self._reason(x, states, params)
        if reason is None and not self._fits(x, states):
            reason = "the input or the state is not of a shape that the cell takes"
        if reason:
            _fallback.tell(self, reason)
            return None
        axes = (0,) if x.dim() == 2 else (0, 0)
        x, *states = (_with_axes(tensor, axes) for tensor in (x, *states))
        h0, c0 = (*states, None, None)[:2]
        _, h, c, _ = _call.run(Call(self._kind()), Inputs(x, h0, c0, None, None, ()), params)
        return h[axes], c[axes] if self._kind().cell == "lstm" else None

    def _fits(self, x: Any, states: Sequence[Any]) -> bool:
        """Whether input and state are shaped as torch.nn wants them."""
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            return False
        return all(tuple(state.shape) == (*x.shape[:-1], self.hidden_size) for state in states)


def _with_axes(tensor: Any, axes: tuple[int, ...]) -> Any:
    for axis in axes:
        tensor = tensor.unsqueeze(axis)
    return tensor


class LSTMCell(_Cell, torch.nn.LSTMCell):
    """`torch.nn.LSTMCell` on fusedrnn."""

    torch_class = torch.nn.LSTMCell

    def _kind(self) -> Kind:
        return Kind("lstm")

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Take one step, as torch.nn.LSTMCell does.

        Args:
            input: (B, I), or (I,).
            hx: (h, c), each (B, H), or (H,); None for zeros.

        Returns:
            The new (h, c).

        Raises:
            RuntimeError, ValueError: as torch.nn.LSTMCell.
        """
        found = _step.cell(self, input, hx, True)
        if found is not None:
            return found
        found = self._forward(input, () if hx is None else hx)
        return super().forward(input, hx) if found is None else found


class _SingleState(_Cell):
    """A cell whose whole state is h."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Take one step, as torch.nn does.

        Args:
            input: (B, I), or (I,).
            hx: h, (B, H), or (H,); None for zeros.

        Returns:
            The new h.

        Raises:
            RuntimeError, ValueError: as torch.nn.
        """
        found = _step.cell(self, input, hx, False)
        if found is not None:
            return found[0]
        found = self._forward(input, () if hx is None else (hx,))
        return super().forward(input, hx) if found is None else found[0]  # type: ignore[misc]


class GRUCell(_SingleState, torch.nn.GRUCell):
    """`torch.nn.GRUCell` on fusedrnn."""

    torch_class = torch.nn.GRUCell

    def _kind(self) -> Kind:
        return Kind("gru")


class RNNCell(_SingleState, torch.nn.RNNCell):
    """`torch.nn.RNNCell` on fusedrnn."""

    torch_class = torch.nn.RNNCell

    nonlinearity: str

    def _kind(self) -> Kind:
        return Kind(f"rnn_{self.nonlinearity}")
