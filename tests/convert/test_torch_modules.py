"""`from_torch` makes what a module of torch.nn is, with its outputs and gradients; `to_torch_state_dict` leads back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from tolerances import check_same_numbers
from torch_there import tensor, torch

CASES = int(os.environ.get("FUSEDRNN_TORCH_CASES", "60"))


def random_module(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    kind = ("LSTM", "GRU", "RNN")[seed % 3]
    layers = int(rng.integers(1, 4))
    options: dict[str, Any] = {
        "num_layers": layers,
        "bias": bool(rng.integers(2)),
        "batch_first": bool(rng.integers(2)),
        "bidirectional": bool(rng.integers(2)),
        "dtype": (torch.float64, torch.float32)[rng.integers(2)],
    }
    hidden = int(rng.integers(2, 12))
    if kind == "LSTM" and rng.integers(2):
        options["proj_size"] = int(rng.integers(1, hidden))
    if kind == "RNN":
        options["nonlinearity"] = ("tanh", "relu")[rng.integers(2)]
    torch.manual_seed(seed)
    return getattr(torch.nn, kind)(int(rng.integers(1, 9)), hidden, **options)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("seed", range(CASES))
def test_a_layer(seed: int) -> None:
    module = random_module(seed)
    layer = fr.from_torch(module)
    dtype = layer.dtype
    assert dtype == (np.float64 if module.weight_ih_l0.dtype == torch.float64 else np.float32)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 5, layer.input_size)).astype(dtype)
    theirs_x = tensor(x, grad=True)
    y, _ = module(theirs_x)
    ours, _, tape = layer.record(x)
    check_same_numbers("y", ours, y.detach().numpy())
    dy = rng.normal(size=y.shape).astype(dtype)
    y.backward(tensor(dy))
    g = tape.backward(dy)
    check_same_numbers("dx", g.x, theirs_x.grad.numpy())
    for name, parameter in module.named_parameters():
        check_same_numbers(name, g.params[name], parameter.grad.numpy())
    again = type(module)(
        layer.input_size,
        layer.hidden_size,
        **{k: getattr(module, k) for k in ("num_layers", "bias", "bidirectional")},
        **({"proj_size": module.proj_size} if isinstance(layer, fr.LSTM) else {}),
        dtype=module.weight_ih_l0.dtype,
    )
    again.load_state_dict(layer.to_torch_state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), module.parameters(), strict=True))
    options = {"nonlinearity": module.nonlinearity} if isinstance(layer, fr.RNN) else {}
    read = type(layer).from_params(module.state_dict(), batch_first=layer.batch_first, **options)
    assert repr(read) == repr(layer)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell(kind: str, bias: bool) -> None:
    module = getattr(torch.nn, kind)(3, 5, bias=bias)
    cell = fr.from_torch(module)
    assert type(cell).__name__ == kind
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    theirs, ours = module(tensor(x)), cell(x)
    pairs = zip(theirs, ours, strict=True) if kind == "LSTMCell" else [(theirs, ours)]
    for a, b in pairs:
        check_same_numbers("h", b, a.detach().numpy())


def test_options_of_the_module() -> None:
    module = torch.nn.GRU(3, 4, num_layers=2, dropout=0.25)
    assert fr.from_torch(module).dropout == 0.25
    assert fr.from_torch(module, dtype=np.float64).dtype == np.float64
    half = fr.from_torch(torch.nn.GRU(3, 4, dtype=torch.bfloat16))
    assert half.dtype == np.float32


def test_tensors_of_any_kind_are_parameters() -> None:
    module = torch.nn.LSTM(3, 4, dtype=torch.bfloat16)
    layer = fr.LSTM.from_params(dict(module.named_parameters()))
    assert np.array_equal(layer.params["weight_ih_l0"], module.weight_ih_l0.detach().float().numpy())


def test_other_modules_are_refused_and_what_is_inside_is_named() -> None:
    class Mine(torch.nn.LSTM):
        def forward(self, x: Any) -> Any:
            return super().forward(x * 2)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GRU(3, 4))

    with pytest.raises(TypeError, match=r"module: expected one of .*, got Model; it has some at encoder.1"):
        fr.from_torch(Model())
    with pytest.raises(TypeError, match=r"module: expected one of .*, got int$"):
        fr.from_torch(3)
    with pytest.raises(ValueError, match=r"module: expected a plain LSTM, got Mine"):
        fr.from_torch(Mine(2, 3))
    normed = torch.nn.utils.parametrizations.weight_norm(torch.nn.GRU(2, 3), "weight_hh_l0")
    with pytest.raises((TypeError, ValueError), match="module: expected"):
        fr.from_torch(normed)


def test_a_layer_that_torch_does_not_have_gives_no_state_dict() -> None:
    for layer, said in (
        (fr.LSTM(2, 3, peephole=True), r"torch.nn has no LSTM with peephole=True"),
        (fr.GRU(2, 3, reset_after=False, reverse=True), r"reset_after=False, reverse=True"),
        (fr.RNN(2, 3, nonlinearity="sigmoid"), "nonlinearity='sigmoid'"),
        (fr.RNN(2, 3, zoneout=0.1), "zoneout"),
    ):
        with pytest.raises(ValueError, match=said):
            layer.to_torch_state_dict()
    assert fr.LSTM(2, 3, recurrent_dropout=0.5).to_torch_state_dict()


def test_torch_is_not_imported_for_anything_else(tmp_path: Path) -> None:
    module = torch.nn.LSTM(3, 4)
    np.savez(tmp_path / "m.npz", **{name: value.numpy() for name, value in module.state_dict().items()})
    program = (
        "import sys, numpy as np, fusedrnn as fr\n"
        f"print(fr.LSTM.from_params(np.load({str(tmp_path / 'm.npz')!r})), 'torch' in sys.modules)\n"
        "try: fr.from_torch(3)\n"
        "except TypeError: print('torch' in sys.modules)\n"
        "sys.modules['torch'] = None\n"
        "try: fr.LSTM(3, 4).to_torch_state_dict()\n"
        "except ImportError as error: print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["LSTM(3, 4) False", "False", "to_torch_state_dict: needs PyTorch: pip install torch"]
