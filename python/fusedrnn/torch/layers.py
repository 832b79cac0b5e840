"""`LSTM`, `GRU` and `RNN`: torch.nn's own layers, computed by fusedrnn where it can.

Constructor, parameters, `state_dict`, shapes, PackedSequence and errors are torch.nn's. The forward pass beyond them
takes `lengths` and `reset`, and an LSTM `return_cell`:

    lengths     (B,) integers in [0, T], in any order, as a tensor, an array or a list: row b ends after lengths[b]
                steps, and a reverse direction begins there. y beyond a row's end is zero, and its final state is that
                after its last step. Not with a PackedSequence, which has its own, nor unbatched.
    reset       bool, (T, B), (B, T) with batch_first, unbatched (T,): true at the first step of each episode. There the
                carried state is zeroed. Not with a PackedSequence.
    return_cell also return c of every step of the last layer, laid out as y is. It carries no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

from fusedrnn import _checks
from fusedrnn.torch import _call, _fallback, _step
from fusedrnn.torch._kernels import Call, Inputs
from fusedrnn.torch._module import Module, autocast_to
from fusedrnn.torch._packed import Packing
from fusedrnn.torch._weights import Kind

__all__ = ["GRU", "LSTM", "RNN"]


class _Layer(Module):
    """What does not depend on what the state is."""

    input_size: int
    hidden_size: int
    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int
    training: bool
    mode: str

    def _parameter_names(self) -> Sequence[str]:
        names: Sequence[str] = self.__dict__["_flat_weights_names"]
        return names

    def _kind(self) -> Kind:
        return Kind(self.mode.lower(), self.num_layers, self.bidirectional)

    def _fits(self, x: Any, rows: int | None, states: Sequence[Any]) -> bool:
        """Whether input and state are shaped as torch.nn wants them. rows: of a packed x."""
        if x.dim() not in ((2,) if rows is not None else (2, 3)) or x.shape[-1] != self.input_size:
            return False
        if x.dim() == 3:
            rows = x.shape[0] if self.batch_first else x.shape[1]
        leading = (self.num_layers * (2 if self.bidirectional else 1), *(() if rows is None else (rows,)))
        widths = (self.proj_size or self.hidden_size, self.hidden_size)
        return all(tuple(state.shape) == (*leading, width) for state, width in zip(states, widths, strict=False))

    def _masks(self, x: Any, packing: Packing | None) -> list[Any]:
        """Of dropout, time-major: the numbers that torch.nn would draw, in its order."""
        if not (self.training and self.dropout and self.num_layers > 1):
            return []
        width = (2 if self.bidirectional else 1) * (self.proj_size or self.hidden_size)
        if packing is not None:
            shape: tuple[int, ...] = (x.shape[0], width)
        else:
            shape = (x.shape[1], x.shape[0], width) if self.batch_first else (*x.shape[:2], width)
        drawn = [dropout(x.new_ones(shape), self.dropout, True) for _ in range(self.num_layers - 1)]
        return drawn if packing is None else [packing.padded(mask) for mask in drawn]

    def _forward(self, input: Any, states: Sequence[Any], lengths: Any, reset: Any, return_cell: bool) -> Any:
        """y, h_n, c_n, cells of any call, or None: it is for PyTorch's own code. `states`: h0 and c0, or none."""
        params = self._params()
        packing = Packing(input) if isinstance(input, PackedSequence) else None
        x = input.data if packing else input
        x, *states = autocast_to(params[0], x, *states)
        reason = self._reason(x, states, params)
        if reason is None and not self._fits(x, packing.rows if packing else None, states):
            reason = "the input or the state is not of a shape that the layer takes"
        if reason:
            extras = {"lengths": lengths, "reset": reset, "return_cell": return_cell or None}
            for name, value in extras.items():
                if value is not None:
                    raise ValueError(f"{name}: expected none, this call has to run on PyTorch's own code: {reason}")
            _fallback.tell(self, reason)
            return None
        if packing:
            return self._run_packed(packing, x, states, lengths, reset, return_cell, params)
        if x.dim() == 2:
            return self._run_unbatched(x, states, lengths, reset, return_cell, params)
        lengths, reset = _lengths(lengths, x.shape[0 if self.batch_first else 1]), _reset(reset, x.shape[:2])
        h0, c0 = (*states, None, None)[:2]
        inputs = Inputs(x, h0, c0, lengths, reset, self._masks(x, None))
        return _call.run(Call(self._kind(), self.batch_first, return_cell), inputs, params)

    def _run_packed(
        self, packing: Packing, x: Any, states: Sequence[Any], lengths: Any, reset: Any, return_cell: bool, params: Any
    ) -> Any:
        if lengths is not None or reset is not None:
            name = "reset" if lengths is None else "lengths"
            raise ValueError(f"{name}: expected None with a PackedSequence; give a padded input with lengths")
        h0, c0 = (*(packing.sort(state) for state in states), None, None)[:2]
        inputs = Inputs(packing.padded(x), h0, c0, packing.lengths, None, self._masks(x, packing))
        y, h, c, cells = _call.run(Call(self._kind(), False, return_cell), inputs, params)
        c = packing.unsort(c) if self.mode == "LSTM" else None
        return packing.packed(y), packing.unsort(h), c, packing.packed(cells) if return_cell else None

    def _run_unbatched(
        self, x: Any, states: Sequence[Any], lengths: Any, reset: Any, return_cell: bool, params: Any
    ) -> Any:
        if lengths is not None:
            raise ValueError("lengths: expected None with an unbatched input, which has one length")
        h0, c0 = (*(state.unsqueeze(1) for state in states), None, None)[:2]
        reset = _reset(reset, x.shape[:1])
        x = x.unsqueeze(0 if self.batch_first else 1)
        if reset is not None:
            reset = reset.unsqueeze(0 if self.batch_first else 1)
        inputs = Inputs(x, h0, c0, None, reset, self._masks(x, None))
        y, h, c, cells = _call.run(Call(self._kind(), self.batch_first, return_cell), inputs, params)
        batch = 0 if self.batch_first else 1
        return (
            y.squeeze(batch),
            h.squeeze(1),
            c.squeeze(1) if self.mode == "LSTM" else None,
            cells.squeeze(batch) if return_cell else None,
        )


def _lengths(lengths: Any, rows: int) -> Any:
    """(B,) int64, of a tensor, an array or a list."""
    if lengths is None:
        return None
    if not isinstance(lengths, torch.Tensor):
        lengths = torch.from_numpy(_checks.lengths_array(lengths))
    elif lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise TypeError(f"lengths: expected integers, got dtype {str(lengths.dtype).removeprefix('torch.')}")
    if tuple(lengths.shape) != (rows,):
        raise ValueError(f"lengths: expected shape ({rows},), got {tuple(lengths.shape)}")
    return lengths.to(device="cpu", dtype=torch.int64)


def _reset(reset: Any, shape: Any) -> Any:
    """A bool tensor of this shape, of a tensor or an array."""
    if reset is None:
        return None
    if not isinstance(reset, torch.Tensor):
        reset = torch.from_numpy(np.ascontiguousarray(_checks.mask_array("reset", reset)))
    elif reset.dtype != torch.bool:
        raise TypeError(f"reset: expected a bool tensor, got dtype {str(reset.dtype).removeprefix('torch.')}")
    if tuple(reset.shape) != tuple(shape):
        raise ValueError(f"reset: expected shape {tuple(shape)}, got {tuple(reset.shape)}")
    return reset.cpu()


class LSTM(_Layer, torch.nn.LSTM):
    """`torch.nn.LSTM` on fusedrnn: see the module's text for what `forward` takes beyond it."""

    torch_class = torch.nn.LSTM

    def forward(
        self, input: Any, hx: Any = None, *, lengths: Any = None, reset: Any = None, return_cell: bool = False
    ) -> Any:
        """Run whole sequences, as torch.nn.LSTM does.

        Args:
            input: (T, B, I), (B, T, I) with batch_first, unbatched (T, I), or a PackedSequence.
            hx: (h0, c0), (L*D, B, P) and (L*D, B, H); None for zeros.
            lengths, reset, return_cell: as the module's text has them.

        Returns:
            y, (h_n, c_n), or with return_cell y, (h_n, c_n), cells.

        Raises:
            RuntimeError, ValueError: as torch.nn.LSTM; and ValueError or TypeError for lengths and reset, or
                where one of the three is given and the call cannot run on fusedrnn.
        """
        if lengths is None and reset is None and return_cell is False:
            found = _step.layer(self, input, hx, True)
            if found is not None:
                return found[0], found[1:]
        return_cell = _checks.boolean("return_cell", return_cell)
        found = self._forward(input, () if hx is None else hx, lengths, reset, return_cell)
        if found is None:
            return super().forward(input, hx)
        y, h, c, cells = found
        return (y, (h, c), cells) if return_cell else (y, (h, c))


class _SingleState(_Layer):
    """A layer whose whole state is h."""

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None, reset: Any = None) -> Any:
        """Run whole sequences, as torch.nn does.

        Args:
            input: (T, B, I), (B, T, I) with batch_first, unbatched (T, I), or a PackedSequence.
            hx: h0, (L*D, B, H); None for zeros.
            lengths, reset: as the module's text has them.

        Returns:
            y, h_n.

        Raises:
            RuntimeError, ValueError: as torch.nn; and ValueError or TypeError for lengths and reset, or where one of
                them is given and the call cannot run on fusedrnn.
        """
        if lengths is None and reset is None:
            found = _step.layer(self, input, hx, False)
            if found is not None:
                return found[0], found[1]
        found = self._forward(input, () if hx is None else (hx,), lengths, reset, False)
        if found is None:
            return super().forward(input, hx)  # type: ignore[misc]
        return found[0], found[1]


class GRU(_SingleState, torch.nn.GRU):
    """`torch.nn.GRU` on fusedrnn: see the module's text for what `forward` takes beyond it."""

    torch_class = torch.nn.GRU


class RNN(_SingleState, torch.nn.RNN):
    """`torch.nn.RNN` on fusedrnn: see the module's text for what `forward` takes beyond it."""

    torch_class = torch.nn.RNN
