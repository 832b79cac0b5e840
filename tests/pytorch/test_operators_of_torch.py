"""The custom operators: torch.compile and torch.export trace through without a break, and compute the same."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

import fusedrnn.torch as ours
from fusedrnn.torch import _operators
from fusedrnn.torch._kernels import Call, Inputs
from fusedrnn.torch._weights import Kind
from torch_layers import INPUTS, KINDS, check_close, flat, pair, state_argument, states
from torch_there import torch

pytestmark = [
    pytest.mark.usefixtures("no_fallback", "allowed"),
    pytest.mark.filterwarnings("ignore"),  # what a compiler warns of is its own matter
]


@pytest.fixture
def allowed() -> Iterator[None]:
    """PyTorch's own switch for torch.nn's recurrent layers, and classes derived from them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch._dynamo

    torch._dynamo.reset()
    with torch._dynamo.config.patch(allow_rnn=True):
        yield


class Model(torch.nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        _, self.rnn = pair(kind, num_layers=2, bidirectional=True, batch_first=True, dropout=0.5)
        self.cell = ours.LSTMCell(INPUTS, 5)
        self.output = torch.nn.LazyLinear(3)

    def forward(self, x: Any, state: Any = None) -> Any:
        y, final = self.rnn(x, state)
        return self.output(torch.relu(y)), final, self.cell(x[:, 0])


def model(kind: str) -> Any:
    made = Model(kind)
    made(torch.randn(3, 7, INPUTS))
    return made.eval()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_without_a_break(kind: str, backend: str) -> None:
    plain = model(kind)
    compiled = torch.compile(plain, fullgraph=True, backend=backend)
    found = []
    for call in (compiled, plain):
        torch.manual_seed(1)
        x = torch.randn(3, 7, INPUTS, requires_grad=True)
        state = state_argument(states(plain.rnn, 3, torch.float32))
        plain.zero_grad()
        results = flat(call(x, state))
        sum(r.square().sum() for r in results).backward()
        found.append([*results, x.grad.clone(), *(p.grad.clone() for p in plain.parameters())])
        with torch.no_grad():
            found[-1] += flat(call(x, state))
    check_close("compiled", *found)


def test_compiled_to_code() -> None:
    """By inductor, where there is a compiler for it."""
    plain = model("LSTM")
    x = torch.randn(3, 7, INPUTS)
    compiled = torch.compile(plain, fullgraph=True)
    try:
        found = flat(compiled(x))
    except Exception as error:
        if "Compiler" not in type(error).__name__ + str(error):
            raise
        pytest.skip(f"inductor has no compiler here: {type(error).__name__}")
    check_close("compiled", found, flat(plain(x)))
    sum(r.sum() for r in found).backward()
    mine = [p.grad.clone() for p in plain.parameters()]
    plain.zero_grad()
    sum(r.sum() for r in flat(plain(x))).backward()
    check_close("gradients", mine, [p.grad for p in plain.parameters()])


def test_compiled_with_other_shapes_lengths_and_dropout() -> None:
    layer = ours.GRU(INPUTS, 5, num_layers=2, dropout=1.0)
    compiled = torch.compile(lambda x, n: layer(x, lengths=n), fullgraph=True, backend="aot_eager", dynamic=True)
    for steps, rows in ((5, 2), (9, 3), (4, 7)):
        x, lengths = torch.randn(steps, rows, INPUTS), torch.arange(rows) % (steps + 1)
        check_close("dynamic", flat(compiled(x, lengths)), flat(layer(x, lengths=lengths)))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_exported(kind: str, strict: bool) -> None:
    plain, x = model(kind), torch.randn(3, 7, INPUTS)
    program = torch.export.export(plain, (x,), strict=strict)
    targets = [str(node.target) for node in program.graph.nodes]
    assert targets.count("fusedrnn.rnn.default") == 2
    check_close("exported", flat(program.module()(x)), flat(plain(x)))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_operators_by_pytorchs_own_checks(cell: str) -> None:
    gates = {"lstm": 4, "gru": 3}[cell]
    params = [torch.randn(gates * 5, INPUTS), torch.randn(gates * 5, 5), torch.randn(gates * 5), torch.randn(gates * 5)]
    tensors = [t.requires_grad_() for t in (torch.randn(6, 3, INPUTS), torch.randn(1, 3, 5), *params)]
    inputs = Inputs(tensors[0], tensors[1], None, torch.tensor([6, 2, 4]), None, [])
    arguments = _operators._flat(Call(Kind(cell), return_cell=cell == "lstm"), inputs, tensors[2:])
    torch.library.opcheck(torch.ops.fusedrnn.rnn, arguments)


def test_backward_records_again_where_the_tape_is_gone() -> None:
    _, layer = pair("LSTM", num_layers=2)
    inputs = Inputs(torch.randn(6, 3, INPUTS), None, None, None, None, [torch.ones(6, 3, 5)])
    arguments = _operators._flat(Call(layer._kind()), inputs, [p.detach() for p in layer.parameters()])
    y, *_, tape = torch.ops.fusedrnn.record(*arguments)
    dy = torch.randn_like(y)
    held = len(_operators._handles)
    found = [flat(torch.ops.fusedrnn.backward(t, dy, None, None, *arguments)) for t in (tape, tape, tape.clone())]
    for other in found[1:]:
        check_close("again", other, found[0])
    del tape
    gc.collect()
    assert len(_operators._handles) == held - 1


def test_traced_by_a_mode() -> None:
    """Who looks on sees the operator, also at a step without gradients."""
    from torch.fx.experimental.proxy_tensor import make_fx

    _, layer = pair("GRU")
    with torch.no_grad():
        graph = make_fx(lambda x: layer(x)[0])(torch.randn(1, 2, INPUTS))
    assert "fusedrnn.rnn" in graph.code
    x = torch.randn(1, 2, INPUTS)
    check_close("traced", [graph(x)], [layer(x)[0]])


def test_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        layer = ours.LSTM(INPUTS, 5, bidirectional=True)
        y, (h, _) = layer(torch.randn(7, 2, INPUTS))
    assert y.shape == (7, 2, 10)
    assert h.shape == (2, 2, 5)
