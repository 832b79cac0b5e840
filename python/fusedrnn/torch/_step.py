"""One step without gradients, as agents, filters and decoders take it: as little Python as there can be.

`layer` and `cell` give None where a call is not so simple; then the way of all other calls serves it, and finds what
is wrong if anything is.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np
import torch

from fusedrnn.torch import threads
from fusedrnn.torch._weights import Weights

_ERRORS = (TypeError, ValueError, RuntimeError, AttributeError, LookupError)
_Tensor = torch.Tensor
_tobytes = np.ndarray.tobytes
_version = attrgetter("_version")
_data_ptr = torch.Tensor.data_ptr
_from_numpy = torch.from_numpy
_is_dynamo_compiling = torch.compiler.is_dynamo_compiling
_is_grad_enabled = torch.is_grad_enabled
_len_torch_dispatch_stack = torch._C._len_torch_dispatch_stack
_get_num_threads = torch.get_num_threads
_get_tracing_state = torch._C._get_tracing_state


def layer(module: Any, x: Any, hx: Any, is_pair: bool) -> Any:
    """y, h_n and c_n of one step of a layer. is_pair: whether its state is (h, c)."""
    if _is_grad_enabled() or type(x) is not _Tensor or _is_dynamo_compiling() or _len_torch_dispatch_stack():
        return None
    h: Any
    c: Any = None
    try:
        array = x.numpy()
        batch_first = module.batch_first
        if batch_first:
            array = array.swapaxes(0, 1)
        steps, rows, _ = array.shape
        if steps != 1 or module.bidirectional or (module.dropout and module.training) or _get_tracing_state():
            return None
        weights = _weights(module, list(module._parameters.values()))
        idle = weights.streams.get(rows)
        stream = idle.pop() if idle else weights.new_stream(rows)
        if hx is None:
            stream.reset()
        else:
            if is_pair:
                h, c = hx
            else:
                h = hx
            last_h, last_c, places, last_state = weights.returned
            # A state that the last step returned needs no view of its memory: that step had it.
            if h is last_h and c is last_c and places == (h.data_ptr(), c.data_ptr() if is_pair else 0):
                stream.set_state(*last_state)
            else:
                stream.set_state(h.numpy(), c.numpy() if is_pair else None)
        y = stream.process(array)
        state = stream.get_state()
        weights.streams[rows].append(stream)
    except _ERRORS:
        return None
    h = _from_numpy(state[0])
    c = _from_numpy(state[1]) if is_pair else None
    weights.returned = h, c, (h.data_ptr(), c.data_ptr() if is_pair else 0), state
    return _from_numpy(y.reshape(rows, 1, -1) if batch_first else y), h, c


def cell(module: Any, x: Any, hx: Any, is_pair: bool) -> Any:
    """h and c after one step of a cell. is_pair: whether its state is (h, c)."""
    if _is_grad_enabled() or type(x) is not _Tensor or _is_dynamo_compiling() or _len_torch_dispatch_stack():
        return None
    h: Any
    c: Any
    try:
        array = x.numpy()
        rows, _ = array.shape
        if _get_tracing_state():
            return None
        params = list(module._parameters.values())
        weights = _weights(module, params if module.bias else params[:2])
        idle = weights.streams.get(rows)
        stream = idle.pop() if idle else weights.new_stream(rows)
        if hx is None:
            stream.reset()
        elif is_pair:
            h, c = hx
            stream.set_state(h.numpy()[None], c.numpy()[None])
        else:
            stream.set_state(hx.numpy()[None])
        stream.step(array)
        h, c = stream.get_state()
        weights.streams[rows].append(stream)
    except _ERRORS:
        return None
    return _from_numpy(h[0]), _from_numpy(c[0]) if is_pair else None


def _weights(module: Any, params: list[Any]) -> Weights:
    """The weights of a module as they are now. `params`: what are its parameters unless something stands for them."""
    weights: Weights | None = module._bound
    if weights is None or list(map(_data_ptr, params)) != weights.pointers or weights.turned(params):
        params = module._params()
        weights = module._bound_to(params)
        if not weights.in_place:
            raise ValueError("parameters that are not contiguous have no streams")
    if _get_num_threads() != threads.followed:
        threads.take_torch_threads()
    weights.steps_left -= 1
    if (
        weights.steps_left < 0
        or list(map(_version, params)) != weights.versions
        or list(map(_tobytes, weights.samples)) != weights.sampled
    ):
        weights.notice_changes(params)
    return weights
