"""Autograd's rules hold: graphs kept and dropped, frozen parameters, hooks, sharing, changes in place."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

import fusedrnn.torch as ours
from fusedrnn.torch import _kernels
from torch_layers import INPUTS, KINDS, check_close, check_pair, flat, pair, state_argument, states
from torch_there import torch

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    pytest.mark.usefixtures("no_fallback"),
]


def lstm(**options: Any) -> Any:
    torch.manual_seed(0)
    return ours.LSTM(INPUTS, 5, **options)


def x(*shape: int, **options: Any) -> Any:
    return torch.randn(*(shape or (6, 3, INPUTS)), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(kind: str) -> None:
    """Against finite differences, in float64."""
    _, mine = pair(kind, num_layers=2, bidirectional=True, dtype=torch.float64)
    inputs = [x(3, 2, INPUTS, dtype=torch.float64), *states(mine, 2, torch.float64)]
    names = [name for name, _ in mine.named_parameters()]
    tensors = [t.detach().clone().requires_grad_() for t in (*inputs, *mine.parameters())]

    def call(*tensors: Any) -> Any:
        params = dict(zip(names, tensors[len(inputs) :], strict=True))
        own = tensors[: len(inputs)]
        return tuple(flat(torch.func.functional_call(mine, params, (own[0], state_argument(own[1:])))))

    assert torch.autograd.gradcheck(call, tensors)


def test_backward_twice() -> None:
    """A retained graph gives the same gradients again; one that was not retained gives PyTorch's error."""
    layer = lstm(num_layers=2, dropout=0.5)
    y, _ = layer(x())
    y.sum().backward(retain_graph=True)
    once = [p.grad.clone() for p in layer.parameters()]
    y.sum().backward()
    check_close("twice", [p.grad for p in layer.parameters()], [2 * g for g in once])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


@pytest.mark.parametrize("wanted", ["input", "parameter"])
def test_second_order_gradients_are_refused(wanted: str) -> None:
    """A clear error, also where the second derivative would go unnoticed in a sum with something else."""
    layer, a = lstm(), x(requires_grad=True)
    y, _ = layer(a)
    of = a if wanted == "input" else layer.weight_hh_l0
    (first,) = torch.autograd.grad(y.sum(), of, create_graph=True)
    check_close("first order", [first], [torch.autograd.grad(layer(a)[0].sum(), of)[0]])
    with pytest.raises(RuntimeError, match="no gradients of gradients"):
        (first.square().sum() + layer(a)[0].sum()).backward()


def test_frozen_parameters_get_no_gradient() -> None:
    layer = lstm()
    layer.weight_hh_l0.requires_grad_(False)
    layer(x())[0].sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad is not None


def test_nothing_is_recorded_where_nothing_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = lstm().requires_grad_(False)
    monkeypatch.setattr(_kernels, "record", None)
    assert not layer(x())[0].requires_grad
    assert layer(x())[0].grad_fn is None
    layer.requires_grad_(True)
    with torch.no_grad():
        layer(x())


def test_gradient_of_the_input_through_frozen_parameters() -> None:
    theirs, mine = pair("GRU")
    theirs.requires_grad_(False), mine.requires_grad_(False)
    found = []
    for module in (mine, theirs):
        torch.manual_seed(2)
        a = x(requires_grad=True)
        module(a)[0].sum().backward()
        found.append(a.grad)
    check_close("dx", [found[0]], [found[1]])


def test_gradients_accumulate_and_hooks_run() -> None:
    layer = lstm()
    seen = []
    layer.weight_ih_l0.register_hook(lambda g: seen.append(g.clone()))
    layer.register_forward_hook(lambda *_: seen.append("forward"))
    layer.register_full_backward_hook(lambda *_: seen.append("backward"))
    a = x(requires_grad=True)
    for _ in range(2):
        layer(a)[0].sum().backward()
    assert [s for s in seen if isinstance(s, str)] == ["forward", "backward"] * 2
    check_close("sum", [layer.weight_ih_l0.grad], [2 * next(s for s in seen if not isinstance(s, str))])


@pytest.mark.parametrize("kind", KINDS)
def test_functional_call(kind: str) -> None:
    theirs, mine = pair(kind)
    other = {name: torch.randn_like(p) for name, p in mine.named_parameters()}
    a = x()
    for context in (torch.enable_grad, torch.inference_mode):
        with context():
            for length in (6, 1):
                expected = flat(torch.func.functional_call(theirs, other, (a[:length],)))
                check_close("functional_call", flat(torch.func.functional_call(mine, other, (a[:length],))), expected)
                check_close("and back", flat(mine(a[:length])), flat(theirs(a[:length])))


def test_weights_that_are_shared() -> None:
    """Two layers of one set of parameters, and one parameter in two places of a layer."""
    theirs, mine = pair("GRU", inputs=5, hidden=5, num_layers=2)
    for module in (theirs, mine):
        module.weight_hh_l1 = module.weight_hh_l0
        module.bias_hh_l1 = module.bias_hh_l0
    check_pair("tied", theirs, mine, [x(6, 3, 5)], lambda module, a: module(a))
    first, second = ours.GRU(5, 5), ours.GRU(5, 5)
    for name, parameter in first.named_parameters():
        setattr(second, name, parameter)
    a = x(6, 3, 5)
    (first(a)[0] + second(a)[0]).sum().backward()
    twice = first.weight_ih_l0.grad.clone()
    first.zero_grad()
    first(a)[0].sum().backward()
    check_close("shared", [twice], [2 * first.weight_ih_l0.grad])


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_weight_norm() -> None:
    """A parameter that is no parameter any more, but made of others at each call."""
    theirs, mine = pair("LSTM")
    for module in (theirs, mine):
        torch.nn.utils.weight_norm(module, "weight_hh_l0")
    check_pair("weight_norm", theirs, mine, [x()], lambda module, a: module(a))
    with torch.inference_mode():
        check_close("a step", flat(mine(x(1, 1, INPUTS) * 0 + 1)), flat(theirs(x(1, 1, INPUTS) * 0 + 1)))


def test_a_change_in_place_before_backward_is_refused() -> None:
    layer = lstm()
    y, _ = layer(x())
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_the_tape_goes_with_the_graph() -> None:
    """Dropped without a backward pass, a graph is gone with its last result; after one, the tape is."""
    layer = lstm()
    y, state = layer(x())
    node = weakref.ref(y.grad_fn)
    del y
    assert node() is not None
    del state
    assert node() is None
    y, _ = layer(x())
    y.sum().backward()
    assert y.grad_fn.tape is None


def test_training_goes_as_with_torch_nn() -> None:
    """Fifty steps of Adam, fused and not: the same losses to rounding."""
    for options in ({}, {"fused": True}, {"foreach": True}):
        losses = []
        for module in pair("LSTM", dtype=torch.float64):
            torch.manual_seed(5)
            optimiser = torch.optim.Adam(module.parameters(), lr=0.01, **options)
            a, target = x(8, 4, INPUTS, dtype=torch.float64), x(8, 4, 5, dtype=torch.float64)
            curve = []
            for _ in range(50):
                optimiser.zero_grad()
                loss = (module(a)[0] - target).square().mean()
                loss.backward()
                optimiser.step()
                with torch.no_grad():  # a step between updates sees the weights as they are
                    curve += [loss.detach(), module(a[:1])[0].sum()]
            losses.append(torch.stack(curve))
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-9, atol=1e-9)


def test_checkpointing() -> None:
    from torch.utils.checkpoint import checkpoint

    layer, a = lstm(), x(requires_grad=True)
    layer(a)[0].sum().backward()
    expected = [a.grad.clone(), *(p.grad.clone() for p in layer.parameters())]
    a.grad = None
    layer.zero_grad()
    checkpoint(lambda a: layer(a)[0], a, use_reentrant=False).sum().backward()
    check_close("checkpoint", [a.grad, *(p.grad for p in layer.parameters())], expected)
