"""A recorded call as a function that PyTorch's autograd knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fusedrnn.torch._kernels import Call, Inputs

Backward = Callable[..., Any]


class Recorded(torch.autograd.Function):
    """y, h_n, c_n and cells with gradients of x, h0, c0 and the parameters.

    The graph owns the tape. Backward uses it up; a second pass through a graph that was retained records again from the
    saved tensors. PyTorch itself refuses a backward pass after a change of one of these in place. cells carry no
    gradient.
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
    def backward(ctx: Any, dy: Any, dh: Any, dc: Any, _dcells: Any) -> Any:
        call, record, backward, num_params, num_masks = ctx.recorded
        x, h0, c0, lengths, reset, *rest = ctx.saved_tensors
        params, masks, tapes = rest[:num_params], rest[num_params:][:num_masks], rest[num_params + num_masks :]
        if dy is None and dh is None and dc is None:
            return (None,) * (9 + num_params)
        inputs = Inputs(x, h0, c0, lengths, reset, masks)
        tape, ctx.tape = (tapes[0] if tapes else ctx.tape), None
        if tape is None:
            with torch.no_grad():
                tape = record(call, inputs, params)[1]
        with torch.no_grad():
            wants = ctx.needs_input_grad[4:]
            dx, dh0, dc0, dparams = backward(tape, dy, dh, dc, call, inputs, params, wants)
        found = zip((dx, dh0, dc0, None, None, *dparams), wants, strict=True)
        wanted = [gradient if wants else None for gradient, wants in found]
        if torch.is_grad_enabled():  # create_graph
            wanted = _FirstOrder.apply(torch.empty(0, requires_grad=True), *wanted)
        return None, None, None, None, *wanted


class _FirstOrder(torch.autograd.Function):
    """Gradients that must not be differentiated again: without this they would count as constants, silently."""

    @staticmethod
    def forward(_ctx: Any, _anchor: Any, *gradients: Any) -> Any:
        return tuple(None if gradient is None else gradient.clone() for gradient in gradients)

    @staticmethod
    def backward(_ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            "fusedrnn has no gradients of gradients: expected backward once, got a second differentiation. "
            "fusedrnn.torch.restore(model) gives PyTorch's own layers back"
        )
