"""What does not run on fusedrnn runs on PyTorch's own code, gives its results, and says why when asked."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import fusedrnn.torch as ours
from torch_layers import INPUTS, check_close, flat, pair
from torch_there import torch


@pytest.mark.parametrize(
    ("dtype", "device", "reason"),
    [
        (torch.bfloat16, "cpu", "parameters are bfloat16"),
        (torch.float32, "meta", "parameters are on meta"),
    ],
    ids=str,
)
def test_parameters_of_another_kind(dtype: Any, device: str, reason: str) -> None:
    theirs, mine = pair("GRU", dtype=dtype)
    theirs.to(device), mine.to(device)
    x = torch.randn(6, 3, INPUTS).to(device, dtype)
    assert reason in mine.why_not()
    assert reason in mine.why_not(x)
    y, h = mine(x)
    assert y.device.type == device
    assert h.dtype == dtype
    if device == "cpu":
        check = torch.testing.assert_close
        check(y, theirs(x)[0])


def test_why_not_says_nothing_of_what_runs() -> None:
    _, mine = pair("LSTM")
    x = torch.randn(6, 3, INPUTS)
    assert mine.why_not() is None
    assert mine.why_not(x) is None
    assert mine.why_not(torch.nn.utils.rnn.pack_padded_sequence(x, [6, 2, 1])) is None
    assert "the input is float64 and the parameters are float32" in mine.why_not(x.double())
    assert ours.GRUCell(2, 3, dtype=torch.float64).why_not() is None


def test_a_warning_once_for_each_layer_and_reason() -> None:
    _, mine = pair("GRU", dtype=torch.bfloat16)
    x = torch.randn(6, 3, INPUTS, dtype=torch.bfloat16)
    mine(x)  # not asked: nothing
    ours.warn_of_fallback()
    try:
        with pytest.warns(ours.FallbackWarning, match=r"GRU\(4, 5\): runs on PyTorch's own code: .* bfloat16"):
            mine(x)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mine(x)
    finally:
        ours.warn_of_fallback(False)
    with pytest.raises(TypeError, match="enabled: expected a bool"):
        ours.warn_of_fallback(1)


def test_what_pytorch_cannot_do_is_refused() -> None:
    _, mine = pair("LSTM", dtype=torch.bfloat16)
    x = torch.randn(6, 3, INPUTS, dtype=torch.bfloat16)
    for name, value in {"lengths": [6, 2, 1], "reset": torch.zeros(6, 3) > 0, "return_cell": True}.items():
        with pytest.raises(ValueError, match=rf"{name}: expected none.*own code.*bfloat16"):
            mine(x, **{name: value})


def test_a_subclass_of_tensor_has_its_own_ways() -> None:
    class Named(torch.Tensor):
        pass

    theirs, mine = pair("GRU")
    x = torch.randn(6, 3, INPUTS).as_subclass(Named)
    assert "Named" in mine.why_not(x)
    assert type(mine(x)[0]) is Named
    check_close("subclass", [mine(x)[0].as_subclass(torch.Tensor)], [theirs(x)[0].as_subclass(torch.Tensor)])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("grad", [True, False])
def test_transforms_of_torch_func(grad: bool) -> None:
    theirs, mine = pair("RNN tanh")
    x = torch.randn(6, 3, INPUTS)
    with torch.set_grad_enabled(grad):
        for steps in (1, 6):
            found = [torch.func.grad(lambda x, m=m: m(x)[0].sum())(x[:steps]) for m in (mine, theirs)]
            check_close("grad", found[:1], found[1:])
        theirs, mine = pair("RNNCell tanh")
        found = [torch.func.vmap(m)(x) for m in (mine, theirs)]
        check_close("vmap", found[:1], found[1:])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("grad", [True, False])
def test_traced_by_torch_jit(grad: bool) -> None:
    theirs, mine = pair("LSTM")
    with torch.set_grad_enabled(grad):
        for steps in (1, 6):
            traced = torch.jit.trace(mine, torch.randn(steps, 3, INPUTS))
            assert "fusedrnn::" not in str(traced.graph)
            x = torch.randn(steps, 3, INPUTS)
            check_close("traced", flat(traced(x)), flat(theirs(x)))


@pytest.mark.parametrize("grad", [True, False])
def test_autocast_computes_in_float32(grad: bool) -> None:
    """float32 stays as it is; half precision that other layers made under autocast becomes float32."""
    theirs, mine = pair("LSTM")
    with torch.set_grad_enabled(grad):
        x = torch.randn(6, 3, INPUTS, requires_grad=grad)
        expected = flat(theirs(x))
        half = flat(theirs(x.bfloat16().float()))
        ours.warn_of_fallback()
        try:
            with torch.autocast("cpu", torch.bfloat16):
                assert mine.why_not(x.bfloat16()) is None
                check_close("float32", flat(mine(x)), expected)
                check_close("bfloat16", flat(mine(x.bfloat16())), half)
                check_close("a step", flat(mine(x[:1].bfloat16())), flat(mine(x[:1].bfloat16().float())))
        finally:
            ours.warn_of_fallback(False)
