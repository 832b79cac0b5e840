"""Forward, recorded forward and backward of the compiled core, as functions of PyTorch's tensors on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from fusedrnn import _core
from fusedrnn.torch._weights import Kind, array_of, weights_of
from fusedrnn.torch.threads import take_torch_threads


class Call(NamedTuple):
    """The arguments of a call that are no tensors."""

    kind: Kind
    batch_first: bool = False
    return_cell: bool = False


class Inputs(NamedTuple):
    """The tensors of a call but its parameters. T steps, B rows; x and reset are time-major unless batch_first.

    x (T, B, I); h0 (L*D, B, P); c0 (L*D, B, H); lengths (B,) int64; reset (T, B) bool; masks: of dropout, L - 1 times
    (T, B, D*P), time-major always. All but x may be None, or empty.
    """

    x: Any
    h0: Any
    c0: Any
    lengths: Any
    reset: Any
    masks: Sequence[Any]


def _tensors(arrays: Sequence[Any]) -> list[Any]:
    return [None if array is None else torch.from_numpy(array) for array in arrays]


def _options(call: Call, inputs: Inputs) -> dict[str, Any]:
    options: dict[str, Any] = {"batch_first": call.batch_first, "return_cell": call.return_cell}
    if inputs.lengths is not None:
        options["lengths"] = inputs.lengths.numpy()
    if inputs.reset is not None:
        options["reset"] = inputs.reset.numpy()
    return options


def forward(call: Call, inputs: Inputs, params: Sequence[Any]) -> list[Any]:
    """y, h_n, c_n, cells; None where the cell has none, or none was asked for."""
    if inputs.masks:
        return record(call, inputs, params)[0]
    take_torch_threads()
    network = weights_of(call.kind, params).network
    arrays = (array_of(inputs.x), array_of(inputs.h0), array_of(inputs.c0))
    return _tensors(network.forward(*arrays, **_options(call, inputs)))


def record(call: Call, inputs: Inputs, params: Sequence[Any]) -> tuple[list[Any], _core.Tape]:
    """As `forward`, and the tape."""
    take_torch_threads()
    weights = weights_of(call.kind, params)
    weights.forget_versions()
    *arrays, tape = weights.network.record(
        array_of(inputs.x),
        array_of(inputs.h0),
        array_of(inputs.c0),
        dropout_masks=[array_of(mask) for mask in inputs.masks] or None,
        **_options(call, inputs),
    )
    return _tensors(arrays), tape


def backward(
    tape: _core.Tape, dy: Any, dh: Any, dc: Any, wants_x: bool = True, wants: Sequence[bool] | None = None
) -> tuple[Any, Any, Any, list[Any]]:
    """dx, dh0, dc0 and the gradients of the parameters, those that are wanted at least. The tape is used up."""
    take_torch_threads()
    dx, dh0, dc0, params, _ = tape.backward(
        array_of(dy), array_of(dh), array_of(dc), wants_x=wants_x, wants=wants
    )
    return *_tensors([dx, dh0, dc0]), _tensors(params)
