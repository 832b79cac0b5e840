"""The reference, checked by itself: the one thing every other test leans on.

Activations, and forward values against the equations written out once more, one unit at a time in plain Python; the
same against PyTorch, gradients too, where it is there; the page of equations against the code.
"""

from __future__ import annotations

import ast
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusedrnn import reference
from fusedrnn.reference import activations
from kinds import options_of
from problems import parts, state_like
from reference_problem import DIFFERENCE_TOLERANCE, IN, KINDS, STEP, B, H, ReferenceProblem, T, build, close


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_accurate_and_silent_over_its_whole_range(dtype: Any) -> None:
    a = np.array(
        [-1e30, -700, -80, -20, -1, -1e-3, -0.0, 0.0, 1e-3, 1, 20, 80, 700, 1e30, -np.inf, np.inf, np.nan], dtype
    )
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = activations.sigmoid(a)
    assert y.dtype == dtype
    for value, got in zip(a[:-3].tolist(), y[:-3].tolist(), strict=True):
        want = math.exp(value) / (1 + math.exp(value)) if value < 0 else 1 / (1 + math.exp(-value))
        assert abs(got - want) <= 4 * np.finfo(dtype).eps * want + float(np.finfo(dtype).smallest_normal)
    assert y[-3] == 0
    assert y[-2] == 1
    assert np.isnan(y[-1])


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activation_slopes(name: str) -> None:
    f = activations.ACTIVATIONS[name]
    a = np.array([-2.0, -0.7, -0.1, 0.1, 0.7, 2.0])
    want = (f.value(a + STEP) - f.value(a - STEP)) / (2 * STEP)
    close(f.slope(f.value(a)), want, name, DIFFERENCE_TOLERANCE)
    assert f.slope(f.value(a.astype(np.float32))).dtype == f.value(a.astype(np.float32)).dtype == np.float32


def test_activations_at_and_around_zero() -> None:
    a = np.array([-1.0, 0.0, 2.0, np.nan])
    f = activations.ACTIVATIONS
    assert set(f) == {"tanh", "relu", "sigmoid", "leaky_relu", "identity"}
    np.testing.assert_array_equal(f["relu"].value(a), [0, 0, 2, np.nan])
    np.testing.assert_array_equal(f["leaky_relu"].value(a), [-0.01, 0, 2, np.nan])
    np.testing.assert_array_equal(f["identity"].value(a), a)
    np.testing.assert_array_equal(f["relu"].slope(np.array([0.0, 3.0])), [0, 1])
    np.testing.assert_array_equal(f["leaky_relu"].slope(np.array([0.0, 3.0])), [0.01, 1])


def by_hand(
    kind: str, p: dict[str, np.ndarray], x: np.ndarray, state: Any
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """One layer, one row, in scalars. ``x`` (T, IN); the state's arrays (width,). Gates by torch's block order."""

    def sigma(a: float) -> float:
        return 1 / (1 + math.exp(-a))

    def product(name: str, row: int, v: list[float]) -> float:
        return sum(p[f"weight_{name}_l0"][row, k] * v[k] for k in range(len(v))) + p[f"bias_{name}_l0"][row]

    phi: dict[str, Callable[[float], float]] = {
        "rnn tanh": math.tanh,
        "rnn relu": lambda a: max(a, 0.0),
        "rnn sigmoid": sigma,
        "rnn leaky_relu": lambda a: a if a > 0 else 0.01 * a,
        "rnn identity": lambda a: a,
    }
    carry = [list(map(float, part)) for part in parts(state)]
    out = []
    for step in x.tolist():
        h = carry[0]
        if kind in phi:
            new = [phi[kind](product("ih", u, step) + product("hh", u, h)) for u in range(H)]
        elif kind.startswith("lstm"):
            gate = [[product("ih", k * H + u, step) + product("hh", k * H + u, h) for u in range(H)] for k in range(4)]
            c = [sigma(gate[1][u]) * carry[1][u] + sigma(gate[0][u]) * math.tanh(gate[2][u]) for u in range(H)]
            new = [sigma(gate[3][u]) * math.tanh(c[u]) for u in range(H)]
            if kind == "lstm proj":
                w = p["weight_hr_l0"]
                new = [sum(w[j, u] * new[u] for u in range(H)) for j in range(len(w))]
            carry[1] = c
        else:
            r = [sigma(product("ih", u, step) + product("hh", u, h)) for u in range(H)]
            z = [sigma(product("ih", H + u, step) + product("hh", H + u, h)) for u in range(H)]
            if kind == "gru":
                n = [math.tanh(product("ih", 2 * H + u, step) + r[u] * product("hh", 2 * H + u, h)) for u in range(H)]
            else:
                kept = [r[u] * h[u] for u in range(H)]
                n = [math.tanh(product("ih", 2 * H + u, step) + product("hh", 2 * H + u, kept)) for u in range(H)]
            new = [(1 - z[u]) * n[u] + z[u] * h[u] for u in range(H)]
        carry[0] = new
        out.append(new)
    return np.array(out), tuple(np.array(part) for part in carry)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_the_written_equations(kind: str) -> None:
    p = ReferenceProblem(kind)
    y, final = p.layer(p.x, p.state)
    for b in range(B):
        want, last = by_hand(kind, p.layer.params, p.x[:, b], state_like(p.state, (a[0, b] for a in parts(p.state))))
        close(y[:, b], want)
        close(tuple(a[0, b] for a in parts(final)), last)


def test_a_missing_state_is_zero_and_missing_biases_too() -> None:
    for kind in KINDS:
        p = ReferenceProblem(kind)
        zero = state_like(p.state, (np.zeros_like(a) for a in parts(p.state)))
        np.testing.assert_array_equal(p.layer(p.x)[0], p.layer(p.x, zero)[0])
        bare = build(kind, IN, H, bias=False)
        full = build(kind, IN, H)
        full.load_params({n: bare.params.get(n, np.zeros_like(v)) for n, v in full.params.items()})
        assert len(bare.params) == len(full.params) - 2
        np.testing.assert_array_equal(bare(p.x)[0], full(p.x)[0])


@pytest.mark.parametrize("kind", ["lstm", "lstm proj", "gru", "rnn tanh", "rnn relu"])
def test_the_reference_is_torch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    p = ReferenceProblem(kind, np.array([3, 5, 1]), num_layers=2, bidirectional=True)
    maker = getattr(torch.nn, type(p.layer).__name__)
    module = maker(IN, H, num_layers=2, bidirectional=True, dtype=torch.float64, **options_of(kind, H))
    assert list(module.state_dict()) == list(p.layer.params)
    module.load_state_dict({n: torch.tensor(v) for n, v in p.layer.params.items()})
    x = torch.tensor(p.x, requires_grad=True)
    state = [torch.tensor(a, requires_grad=True) for a in parts(p.state)]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(p.lengths), enforce_sorted=False)
    y, final = module(packed, tuple(state) if len(state) > 1 else state[0])
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=T)
    got_y, got_final, tape = p.record()
    loss = (y * torch.tensor(p.dy)).sum()
    for a, b, d in zip(parts(got_final), parts(final), parts(p.dstate), strict=True):
        close(a, b.detach().numpy())
        loss = loss + (b * torch.tensor(d)).sum()
    loss.backward()
    g = tape.backward(p.dy, p.dstate)
    close(got_y, y.detach().numpy())
    close(g.x, x.grad.numpy())
    close(parts(g.state), tuple(a.grad.numpy() for a in state))
    for name, parameter in module.named_parameters():
        close(g.params[name], parameter.grad.numpy(), name)


SOURCES = sorted(Path(reference.__file__).parent.glob("*.py"))


def test_only_numpy_and_the_standard_library_are_imported() -> None:
    """An oracle that shares no code with what it judges: nothing of fusedrnn outside its own directory."""
    assert len(SOURCES) > 4
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level < 2, path
                found = [] if node.level else [node.module or ""]
            else:
                continue
            for name in found:
                top = name.split(".")[0]
                assert top == "numpy" or top in sys.stdlib_module_names, (path, name)


def test_every_equation_is_on_the_page_and_every_equation_of_a_cell_is_in_the_code() -> None:
    page = Path(__file__).parents[2] / "docs" / "design" / "cells.md"
    numbers = re.compile(r"\(([A-Z]\d+)\)")
    defined = re.findall(r"(?m)^(?:    .*|\|.*)\(([A-Z]\d+)\)(?: \|)?$", page.read_text(encoding="utf-8"))
    assert len(defined) == len(set(defined)), "a number is defined twice"
    named = {n for path in SOURCES for n in numbers.findall(path.read_text(encoding="utf-8"))}
    assert named <= set(defined), named - set(defined)
    assert {n for n in defined if n[0] in "ARLGBSTWN"} <= named
    for path in (Path(__file__).parents[2] / "cpp").rglob("*.[ch]pp"):
        cited = numbers.findall(path.read_text(encoding="utf-8"))
        assert set(cited) <= set(defined), path
        if path.parent.name == "cells" and path.stem != "list":  # from the first equation to the last
            letter = cited[0][0]
            assert max(int(n[1:]) for n in cited if n[0] == letter) == sum(n[0] == letter for n in defined), path
