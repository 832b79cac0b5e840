"""The same calls as custom operators, for what traces: torch.compile, torch.export, modes of dispatch.

    fusedrnn::rnn        what a layer calls; its autograd kernel records where a gradient is wanted
    fusedrnn::record     as rnn, and a tape
    fusedrnn::backward   the gradients of a tape

A tape is an int64 tensor of one element, the number of the tape, and the tape lives as long as its memory. Where a
compiler has copied that tensor, or runs backward twice, backward records again: it gets all of the call's tensors.
An operator returns tensors only: one of no elements stands for c_n and cells where there are none.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fusedrnn import _core
from fusedrnn.torch import _kernels
from fusedrnn.torch._autograd import Recorded
from fusedrnn.torch._kernels import Call, Inputs
from fusedrnn.torch._weights import Kind, gates_of

_CALL = (
    "Tensor x, Tensor? h0, Tensor? c0, Tensor[] params, Tensor? lengths, Tensor? reset, Tensor[] masks, "
    "str cell, int num_layers, bool bidirectional, bool batch_first, bool return_cell"
)

_library = torch.library.Library("fusedrnn", "DEF")
_library.define(f"rnn({_CALL}) -> (Tensor, Tensor, Tensor, Tensor)")
_library.define(f"record({_CALL}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)")
_library.define(
    f"backward(Tensor tape, Tensor? dy, Tensor? dh, Tensor? dc, {_CALL}) -> (Tensor, Tensor, Tensor, Tensor[])"
)


def _flat(call: Call, inputs: Inputs, params: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments of an operator."""
    x, h0, c0, lengths, reset, masks = inputs
    return x, h0, c0, list(params), lengths, reset, list(masks), *call.kind, call.batch_first, call.return_cell


def _structured(arguments: Sequence[Any]) -> tuple[Call, Inputs, list[Any]]:
    """What `_flat` was given."""
    x, h0, c0, params, lengths, reset, masks, *kind, batch_first, return_cell = arguments
    return Call(Kind(*kind), batch_first, return_cell), Inputs(x, h0, c0, lengths, reset, masks), params


def rnn(call: Call, inputs: Inputs, params: Sequence[Any]) -> Sequence[Any]:
    """y, h_n, c_n and cells by the operator."""
    found: Sequence[Any] = torch.ops.fusedrnn.rnn(*_flat(call, inputs, params))
    return found


# Tapes


class _Handle(np.ndarray):
    """The number of a tape, as an array that owns it."""

    tape: _core.Tape | None


_numbers = itertools.count()
_handles: weakref.WeakValueDictionary[int, _Handle] = weakref.WeakValueDictionary()


def _handle_of(tape: _core.Tape) -> Any:
    number = next(_numbers)
    handle = np.array([number]).view(_Handle)
    handle.tape = tape
    _handles[number] = handle
    return torch.from_numpy(handle)


def _taken(handle: Any) -> _core.Tape | None:
    """The tape of a handle; None where it is used or gone."""
    found = _handles.get(int(handle))
    if found is None:
        return None
    tape, found.tape = found.tape, None
    return tape


# On a CPU


def _all_tensors(results: Sequence[Any], like: Any) -> tuple[Any, ...]:
    return tuple(like.new_empty(0) if result is None else result for result in results)


def _rnn(*arguments: Any) -> tuple[Any, ...]:
    return _all_tensors(_kernels.forward(*_structured(arguments)), arguments[0])


def _record(*arguments: Any) -> tuple[Any, ...]:
    results, tape = _kernels.record(*_structured(arguments))
    return *_all_tensors(results, arguments[0]), _handle_of(tape)


def _backward(handle: Any, dy: Any, dh: Any, dc: Any, *arguments: Any) -> tuple[Any, ...]:
    call, inputs, params = _structured(arguments)
    tape = _taken(handle)
    if tape is None:
        tape = _kernels.record(call, inputs, params)[1]
    *d_inputs, d_params = _kernels.backward(tape, dy, dh, dc if call.kind.cell == "lstm" else None)
    return *_all_tensors(d_inputs, arguments[0]), d_params


# Shapes


def _fake_rnn(*arguments: Any) -> tuple[Any, ...]:
    call, (x, *_), params = _structured(arguments)
    rows = x.shape[0] if call.batch_first else x.shape[1]
    hidden, recurrent = params[0].shape[0] // gates_of(call.kind.cell), params[1].shape[1]
    directions = 2 if call.kind.bidirectional else 1
    states, has_cell = call.kind.num_layers * directions, call.kind.cell == "lstm"
    return (
        x.new_empty((*x.shape[:2], directions * recurrent)),
        x.new_empty((states, rows, recurrent)),
        x.new_empty((states, rows, hidden) if has_cell else (0,)),
        x.new_empty((*x.shape[:2], directions * hidden) if call.return_cell else (0,)),
    )


def _fake_record(*arguments: Any) -> tuple[Any, ...]:
    return *_fake_rnn(*arguments), arguments[0].new_empty(1, dtype=torch.int64)


def _fake_backward(_tape: Any, _dy: Any, _dh: Any, _dc: Any, *arguments: Any) -> tuple[Any, ...]:
    x, params = arguments[0], arguments[3]
    _, h, c, _ = _fake_rnn(*arguments)
    return x.new_empty(x.shape), h, c, [param.new_empty(param.shape) for param in params]


# Gradients


def _record_by_operator(call: Call, inputs: Inputs, params: Sequence[Any]) -> tuple[list[Any], Any]:
    *results, tape = torch.ops.fusedrnn.record(*_flat(call, inputs, params))
    return results, tape


def _backward_by_operator(
    tape: Any, dy: Any, dh: Any, dc: Any, call: Call, inputs: Inputs, params: Sequence[Any], _wants: Sequence[bool]
) -> tuple[Any, ...]:
    dx, dh0, dc0, d_params = torch.ops.fusedrnn.backward(tape, dy, dh, dc, *_flat(call, inputs, params))
    return dx, dh0, dc0, d_params


def wants_gradient(inputs: Inputs, params: Sequence[Any]) -> bool:
    """Whether autograd is to go back through such a call."""
    return torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (*params, inputs.x, inputs.h0, inputs.c0)
    )


def _rnn_with_gradient(*arguments: Any) -> Any:
    call, inputs, params = _structured(arguments)
    if not wants_gradient(inputs, params):
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.fusedrnn.rnn(*arguments)
    return Recorded.apply(_record_by_operator, _backward_by_operator, call, inputs.masks, *inputs[:5], *params)


for _name, _kernel, _fake in (
    ("rnn", _rnn, _fake_rnn),
    ("record", _record, _fake_record),
    ("backward", _backward, _fake_backward),
):
    _library.impl(_name, _kernel, "CPU")
    torch.library.register_fake(f"fusedrnn::{_name}", _fake, lib=_library)
_library.impl("rnn", _rnn_with_gradient, "Autograd")
