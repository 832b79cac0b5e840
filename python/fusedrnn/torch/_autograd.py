"""A recorded call as a function that PyTorch's autograd knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from fusedrnn.torch import _kernels
from fusedrnn.torch._kernels import Call, Inputs

Backward = Callable[..., Any]


class Recorded(torch.autograd.Function):
    """y, h_n, c_n and cells with gradients of x, h0, c0 and the parameters.

    The graph owns the tape. Backward uses it up; a second pass through a graph that was retained records again from the
    saved tensors. These are PyTorch's saved tensors so that it refuses a backward pass after a change in place.
    cells carry no gradient.
    """

    @staticmethod
    def forward(ctx: Any, record: Callable[..., Any], backward: Backward, call: Call, masks: Any, *tensors: Any) -> Any:
        x, h0, c0, lengths, reset, *params = tensors
        inputs = Inputs(x, h0, c0, lengths, reset, masks)
        results, tape = record(call, inputs, params)
        ctx.save_for_backward(*tensors, *masks, *([tape] if isinstance(tape, torch.Tensor) else []))
        ctx.tape = tape if not isinstance(tape, torch.Tensor) else None
        ctx.recorded = call, record, backward, len(params), len(masks)
        ctx.set_materialize_grads(False)
        if results[3] is not None:
            ctx.mark_non_differentiable(results[3])
        return tuple(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Any, dh: Any, dc: Any, _dcells: Any) -> Any:
        call, record, backward, num_params, num_masks = ctx.recorded
        x, h0, c0, lengths, reset, *rest = ctx.saved_tensors
        params, masks, tapes = rest[:num_params], rest[num_params : num_params + num_masks], rest[num_params + num_masks :]
        if dy is None and dh is None and dc is None:
            return (None,) * (9 + num_params)
        inputs = Inputs(x, h0, c0, lengths, reset, masks)
        tape, ctx.tape = (tapes[0] if tapes else ctx.tape), None
        if tape is None:
            tape = record(call, inputs, params)[1]
        dx, dh0, dc0, dparams = backward(tape, dy, dh, dc, call, inputs, params)
        wanted = ctx.needs_input_grad[4:]
        found = [dx, dh0, dc0, None, None, *dparams]
        return None, None, None, None, *(g if wants else None for g, wants in zip(found, wanted, strict=True))
