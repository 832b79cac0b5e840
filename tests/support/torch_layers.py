"""Pairs of a layer of torch.nn and ours with the same parameters, and comparisons of what they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fusedrnn.torch as ours
from torch_there import torch

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM": ("LSTM", {}),
    "LSTM, projected": ("LSTM", {"proj_size": 3}),
    "GRU": ("GRU", {}),
    "RNN tanh": ("RNN", {}),
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
}
CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTMCell": ("LSTMCell", {}),
    "GRUCell": ("GRUCell", {}),
    "RNNCell tanh": ("RNNCell", {}),
    "RNNCell relu": ("RNNCell", {"nonlinearity": "relu"}),
}
INPUTS, HIDDEN = 4, 5

TOLERANCES = {torch.float32: {"rtol": 1.3e-5, "atol": 1e-5}, torch.float64: {"rtol": 1e-10, "atol": 1e-10}}
"""PyTorch's own for its CPU kernels (test_mkldnn.py::test_lstm), its rtol times ten: gradients are long sums."""


def pair(kind: str, inputs: int = INPUTS, hidden: int = HIDDEN, **options: Any) -> tuple[Any, Any]:
    """torch.nn's and ours, of the same parameters, drawn from seed 0."""
    name, own = {**KINDS, **CELLS}[kind]
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(inputs, hidden, **own, **options)
    mine = getattr(ours, name)(inputs, hidden, **own, **options)
    mine.load_state_dict(theirs.state_dict())
    return theirs, mine


def flat(found: Any) -> list[Any]:
    """Every tensor of nested results, in order."""
    if isinstance(found, torch.nn.utils.rnn.PackedSequence):
        return [found.data]
    if isinstance(found, torch.Tensor):
        return [found]
    return [tensor for part in found for tensor in flat(part)]


def check_close(what: str, mine: Sequence[Any], theirs: Sequence[Any]) -> None:
    assert len(mine) == len(theirs), what
    for number, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        assert (a is None) == (b is None), f"{what}, {number}"
        if a is not None:
            torch.testing.assert_close(a, b, **TOLERANCES[a.dtype], msg=lambda m, n=number: f"{what}, {n}: {m}")


def gradients(module: Any, inputs: Sequence[Any], call: Any) -> tuple[list[Any], list[Any]]:
    """What `call(module, *inputs)` gives, and the gradients of a weighted sum of it: of inputs, then parameters."""
    inputs = [None if x is None else x.detach().clone().requires_grad_() for x in inputs]
    module.zero_grad()
    results = flat(call(module, *inputs))
    generator = torch.Generator().manual_seed(1)
    sum((r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum() for r in results).backward()
    found = [None if x is None else x.grad for x in inputs] + [p.grad for p in module.parameters()]
    return [r.detach() for r in results], found


def check_pair(what: str, theirs: Any, mine: Any, inputs: Sequence[Any], call: Any, seed: int | None = None) -> None:
    """Values and all gradients agree; with `seed`, so do the numbers of dropout."""
    found = []
    for module in (mine, theirs):
        if seed is not None:
            torch.manual_seed(seed)
        found.append(gradients(module, inputs, call))
    check_close(f"{what}: values", found[0][0], found[1][0])
    check_close(f"{what}: gradients", found[0][1], found[1][1])


def states(module: Any, rows: int | None, dtype: Any) -> list[Any]:
    """h0, or h0 and c0, drawn; rows None: unbatched."""
    batch = () if rows is None else (rows,)
    if isinstance(module, torch.nn.RNNCellBase):
        shapes = [(*batch, module.hidden_size)] * (2 if isinstance(module, torch.nn.LSTMCell) else 1)
    else:
        leading = module.num_layers * (2 if module.bidirectional else 1)
        widths = [module.proj_size or module.hidden_size, module.hidden_size][: 2 if module.mode == "LSTM" else 1]
        shapes = [(leading, *batch, width) for width in widths]
    return [torch.randn(shape, dtype=dtype) for shape in shapes]


def state_argument(state: Sequence[Any]) -> Any:
    """hx as torch.nn takes it."""
    return None if not state or state[0] is None else tuple(state) if len(state) == 2 else state[0]


def dtypes() -> list[Any]:
    return [torch.float32, torch.float64]
