"""The reference's parameters, dtypes and arguments: what it takes, keeps, and refuses by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fusedrnn import reference
from problems import parts
from reference_problem import IN, KINDS, LENGTHS, ONE_OF_EACH, RESET, H, ReferenceProblem, build, close, close_gradients


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32_throughout(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = ReferenceProblem(kind, LENGTHS, RESET, dropout=True, num_layers=2, bidirectional=True)
    want_y, want_final, want_tape = p.record()
    want = want_tape.backward(p.dy, p.dstate, 2)
    low = build(kind, IN, H, num_layers=2, bidirectional=True, dtype=np.float32)
    seen = []
    forward, backward = type(low.cell).forward, type(low.cell).backward

    def spy_forward(self: Any, w: Any, pre_x: Any, carry: Any) -> Any:
        leaving, saved = forward(self, w, pre_x, carry)
        seen.extend([*w.values(), pre_x, *carry, *leaving, *saved])
        return leaving, saved

    def spy_backward(self: Any, w: Any, saved: Any, dcarry: Any) -> Any:
        step = backward(self, w, saved, dcarry)
        seen.extend([*dcarry, *step.carry, step.pre_x, *(a for p in step.products for a in (p.delta, p.operand))])
        return step

    monkeypatch.setattr(type(low.cell), "forward", spy_forward)
    monkeypatch.setattr(type(low.cell), "backward", spy_backward)
    y, final, tape = low.record(p.x, p.state, LENGTHS, RESET, p.masks)
    g = tape.backward(p.dy, p.dstate, 2)
    seen.extend([y, *parts(final), g.x, *parts(g.state), *g.params.values()])
    assert {a.dtype for a in seen} == {np.dtype(np.float32)}
    coarse = 1000 * float(np.finfo(np.float32).eps)
    close(y, want_y, tolerance=coarse)
    close(final, want_final, tolerance=coarse)
    close(g.x, want.x, tolerance=coarse)
    for name in want.params:
        close(g.params[name], want.params[name], name, tolerance=coarse)
    assert np.abs(y - want_y).max() > 1e-10  # and it did round


def test_names_shapes_and_order_of_the_parameters() -> None:
    layer = reference.LSTM(7, 5, num_layers=2, bidirectional=True, proj_size=3)
    assert {n: v.shape for n, v in layer.params.items()} == {
        f"{stem}_l{k}{suffix}": shape
        for k in range(2)
        for suffix in ("", "_reverse")
        for stem, shape in [
            ("weight_ih", (20, 6 if k else 7)),
            ("weight_hh", (20, 3)),
            ("bias_ih", (20,)),
            ("bias_hh", (20,)),
            ("weight_hr", (3, 5)),
        ]
    }
    assert list(layer.params)[:6] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_hr_l0",
        "weight_ih_l0_reverse",
    ]
    assert list(reference.GRU(7, 5, bias=False).params) == ["weight_ih_l0", "weight_hh_l0"]
    assert list(reference.RNN(7, 5, reverse=True).params) == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
    ]
    x = np.zeros((1, 1, 7))
    assert list(layer.record(x)[2].backward().params) == list(layer.params)


def test_the_number_of_free_parameters() -> None:
    assert reference.RNN(5, 3).num_params == 27
    assert reference.RNN(5, 3).num_params + 3 + 1 == 31
    assert reference.RNN(5, 3, bias=False).num_params == 24
    assert reference.LSTM(5, 3).num_params == 4 * 3 * (5 + 3) + 4 * 3
    assert reference.LSTM(5, 3, proj_size=2).num_params == 4 * 3 * (5 + 2) + 4 * 3 + 2 * 3
    assert reference.GRU(5, 3).num_params == 3 * 3 * (5 + 3) + 4 * 3
    assert reference.GRU(5, 3, reset_after=False).num_params == 3 * 3 * (5 + 3) + 3 * 3
    assert reference.RNN(5, 3, num_layers=2, bidirectional=True).num_params == 2 * 27 + 2 * (3 * 6 + 3 * 3 + 3)


@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_biases_counted_once_are_those_with_one_gradient(kind: str) -> None:
    """`num_params` against what makes it true: two parameters that are only ever summed have the same gradient."""
    p = ReferenceProblem(kind)
    g = p.backward().params
    joint = int((np.abs(g["bias_ih_l0"] - g["bias_hh_l0"]) < 1e-12).sum())
    assert p.layer.num_params == sum(v.size for v in p.layer.params.values()) - joint


def test_initial_parameters_are_uniform_seeded_and_bounded() -> None:
    a, b, c = (reference.LSTM(8, 16, rng=seed) for seed in (0, 0, 1))
    flat = np.concatenate([v.ravel() for v in a.params.values()])
    assert np.abs(flat).max() <= 0.25
    assert np.abs(flat).max() > 0.24
    assert abs(flat.mean()) < 0.02
    assert all(np.array_equal(a.params[n], b.params[n]) for n in a.params)
    assert not np.array_equal(a.params["weight_ih_l0"], c.params["weight_ih_l0"])
    assert np.array_equal(
        reference.LSTM(8, 16, rng=np.random.default_rng(0)).params["weight_hh_l0"], a.params["weight_hh_l0"]
    )


def test_parameters_may_be_changed_in_place_assigned_or_loaded() -> None:
    x = np.ones((2, 1, 2))
    layer, other = reference.GRU(2, 3, rng=0), reference.GRU(2, 3, rng=1)
    before = layer(x)[0]
    layer.params["weight_hh_l0"] *= 2
    assert not np.array_equal(layer(x)[0], before)
    layer.params["weight_hh_l0"] = other.params["weight_hh_l0"].tolist()
    layer.load_params(other.params)
    np.testing.assert_array_equal(layer(x)[0], other(x)[0])
    layer.params["weight_hh_l0"][...] = 0
    assert other.params["weight_hh_l0"].any()  # loaded values are copies
    kept = {n: v.copy() for n, v in layer.params.items()}
    good = dict(other.params)
    for bad in (
        {**good, "bias_hh_l0": np.zeros(8)},
        {**good, "bias_hh_l1": np.zeros(9)},
        {n: v for n, v in good.items() if n != "bias_hh_l0"},
    ):
        with pytest.raises(ValueError, match="bias_hh_l"):
            layer.load_params(bad)
        assert all(np.array_equal(kept[n], layer.params[n]) for n in kept)


def test_a_tape_keeps_what_it_saw() -> None:
    p = ReferenceProblem("lstm", dropout=True, num_layers=2, bidirectional=True)
    _, _, tape = p.record()
    want = tape.backward(p.dy, p.dstate)
    for array in (p.x, *parts(p.state), *p.masks, *p.layer.params.values()):
        array += 1
    close_gradients(tape.backward(p.dy, p.dstate), want)


def test_arguments_are_read_only_to_the_reference() -> None:
    p = ReferenceProblem("lstm", LENGTHS, RESET.copy(), dropout=True, num_layers=2)
    for array in (p.x, *parts(p.state), p.reset, *p.masks, p.dy, *parts(p.dstate), *p.layer.params.values()):
        array.flags.writeable = False
    want = p.backward(2)
    p.x = np.repeat(p.x, 2, axis=2)[:, :, ::2][::-1][::-1]  # strided
    close_gradients(p.backward(2), want)


X = np.zeros((4, 3, 2))
BAD_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("x", {"x": np.zeros(2)}),
    ("x", {"x": np.zeros((4, 3, 5))}),
    ("x", {"x": np.zeros((1, 4, 3, 2))}),
    ("x", {"x": X.astype(complex)}),
    ("x", {"x": [[1.0, 2.0], [3.0]]}),
    ("state", {"state": np.zeros((1, 3, 5))}),
    ("state", {"state": (np.zeros((1, 3, 5)),)}),
    ("state", {"state": (np.zeros((1, 2, 5)), np.zeros((1, 3, 5)))}),
    ("state", {"state": (np.zeros((3, 5)), np.zeros((3, 5)))}),
    ("lengths", {"lengths": [1, 2]}),
    ("lengths", {"lengths": 3}),
    ("lengths", {"lengths": [1, 2, 5]}),
    ("lengths", {"lengths": [1, -1, 2]}),
    ("lengths", {"lengths": [1.0, 2.0, 3.0]}),
    ("lengths", {"lengths": [True, True, False]}),
    ("reset", {"reset": np.zeros((3, 4), bool)}),
    ("reset", {"reset": np.zeros((4, 3))}),
    ("reset", {"reset": np.zeros((4, 3, 1), bool)}),
    ("dropout_masks", {"dropout_masks": [np.ones((4, 3, 5))]}),
]


@pytest.mark.parametrize(("argument", "call"), BAD_CALLS)
def test_a_bad_argument_is_named(argument: str, call: dict[str, Any]) -> None:
    layer = reference.LSTM(2, 5)
    with pytest.raises(ValueError, match=f"^{argument}"):
        layer.record(**{"x": X, **call})


def test_bad_gradients_and_masks_are_named() -> None:
    layer = reference.LSTM(2, 5, num_layers=2)
    with pytest.raises(ValueError, match=r"^dropout_masks\[0\]"):
        layer.record(X, dropout_masks=[np.ones((3, 4, 5))])
    tape = layer.record(X)[2]
    for dy in (np.zeros((4, 3, 4)), np.zeros((3, 4, 5)), np.zeros(5)):
        with pytest.raises(ValueError, match=r"^dy"):
            tape.backward(dy)
    with pytest.raises(ValueError, match=r"^dstate"):
        tape.backward(None, np.zeros((2, 3, 5)))
    with pytest.raises(ValueError, match=r"^dstate"):
        tape.backward(None, (np.zeros((1, 3, 5)), None))
    for truncate in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=r"^truncate"):
            tape.backward(truncate=truncate)
    layer.params["weight_hh_l0"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match="weight_hh_l0"):
        layer(X)


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("input_size", lambda: reference.LSTM(0, 5)),
        ("hidden_size", lambda: reference.GRU(2, -1)),
        ("hidden_size", lambda: reference.GRU(2, 1.5)),
        ("input_size", lambda: reference.RNN(float("inf"), 3)),
        ("num_layers", lambda: reference.RNN(2, 3, num_layers=0)),
        ("proj_size", lambda: reference.LSTM(2, 3, proj_size=3)),
        ("proj_size", lambda: reference.LSTM(2, 3, proj_size=-1)),
        ("dropout", lambda: reference.LSTM(2, 3, dropout=1.5)),
        ("dropout", lambda: reference.LSTM(2, 3, dropout=float("nan"))),
        ("dtype", lambda: reference.LSTM(2, 3, dtype=np.float16)),
        ("dtype", lambda: reference.LSTM(2, 3, dtype=int)),
        ("nonlinearity", lambda: reference.RNN(2, 3, nonlinearity="swish")),
        ("reverse", lambda: reference.RNN(2, 3, bidirectional=True, reverse=True)),
    ],
)
def test_a_bad_size_or_option_is_named(argument: str, make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=f"^{argument}"):
        make()
