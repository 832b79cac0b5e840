"""One call on fusedrnn, by the shortest way that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fusedrnn.torch import _kernels, _operators
from fusedrnn.torch._autograd import Recorded
from fusedrnn.torch._kernels import Call, Inputs


def traced(x: Any) -> bool:
    """Whether somebody looks on, who sees operators only."""
    return torch.compiler.is_compiling() or type(x) is not torch.Tensor or torch._C._len_torch_dispatch_stack() > 0


def _backward(
    tape: Any, dy: Any, dh: Any, dc: Any, _call: Any, _inputs: Any, _params: Any, wants: Sequence[bool]
) -> tuple[Any, ...]:
    return _kernels.backward(tape, dy, dh, dc, wants[0], wants[5:])


def run(call: Call, inputs: Inputs, params: Sequence[Any]) -> Sequence[Any]:
    """y, h_n, c_n and cells. The last two mean nothing where the cell has none, or none was asked for."""
    if traced(inputs.x):
        return _operators.rnn(call, inputs, params)
    if not _operators.wants_gradient(inputs, params):
        return _kernels.forward(call, inputs, params)
    found: Sequence[Any] = Recorded.apply(_kernels.record, _backward, call, inputs.masks, *inputs[:5], *params)
    return found
