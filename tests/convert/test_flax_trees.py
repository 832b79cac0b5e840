"""`from_flax` reads the trees of Flax's cells: by Flax's equations in NumPy, and by Flax itself where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from tolerances import check_same_numbers

GATES = {"lstm": "ifgo", "gru": "rzn", "rnn": ("",)}
KINDS = {"lstm": fr.LSTM, "gru": fr.GRU, "rnn": fr.RNN}


def tree_of(kind: str, inputs: int, units: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """As flax.linen names and shapes them, in float64."""
    rng = np.random.default_rng(seed)
    found = {}
    for side, width in (("i", inputs), ("h", units)):
        for gate in GATES[kind]:
            part = {"kernel": rng.normal(size=(width, units)) / 2}
            if (
                (kind == "lstm" and side == "h")
                or (kind != "lstm" and side == "i")
                or (kind, side, gate) == ("gru", "h", "n")
            ):
                part["bias"] = rng.normal(size=units)
            found[f"{side}{gate}"] = part
    return found


def run(kind: str, tree: Any, x: np.ndarray) -> np.ndarray:
    """The equations of flax.linen.recurrent, over x (B, T, I)."""

    def dense(name: str, a: np.ndarray) -> Any:
        return a @ tree[name]["kernel"] + tree[name].get("bias", 0)

    def sigmoid(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    units = tree["i" + GATES[kind][0]]["kernel"].shape[1]
    h = c = np.zeros((len(x), units))
    out = []
    for x_t in x.swapaxes(0, 1):
        if kind == "lstm":
            i, f, o = (sigmoid(dense(f"i{gate}", x_t) + dense(f"h{gate}", h)) for gate in "ifo")
            c = f * c + i * np.tanh(dense("ig", x_t) + dense("hg", h))
            h = o * np.tanh(c)
        elif kind == "gru":
            r, z = (sigmoid(dense(f"i{gate}", x_t) + dense(f"h{gate}", h)) for gate in "rz")
            n = np.tanh(dense("in", x_t) + r * dense("hn", h))
            h = (1 - z) * n + z * h
        else:
            h = np.tanh(dense("i", x_t) + dense("h", h))
        out.append(h)
    return np.stack(out, axis=1)


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("seed", range(5))
def test_a_cell_of_linen(kind: str, seed: int) -> None:
    tree = tree_of(kind, 3, 4 + seed, seed)
    x = np.random.default_rng(seed).normal(size=(2, 6, 3))
    for given in (tree, {"params": {"RNN_0": {"cell": tree}, "Dense_0": {"kernel": x, "bias": x}}}):
        layer = fr.from_flax(given)
        assert (type(layer), layer.dtype, layer.batch_first) == (KINDS[kind], np.float64, True)
        check_same_numbers("y", layer(x)[0], run(kind, tree, x))


@pytest.mark.parametrize("kind", GATES)
def test_stacks_and_directions(kind: str) -> None:
    trees = [[tree_of(kind, width, 4, 2 * k + end) for end in range(2)] for k, width in enumerate((3, 8))]
    x = np.random.default_rng(0).normal(size=(2, 6, 3))
    layer = fr.from_flax(trees)
    assert (layer.num_layers, layer.bidirectional) == (2, True)
    y = x
    for forward, backward in trees:
        y = np.concatenate([run(kind, forward, y), run(kind, backward, y[:, ::-1])[:, ::-1]], axis=-1)
    check_same_numbers("y", layer(x)[0], y)


def joined(kind: str, tree: Any) -> dict[str, Any]:
    """As flax.nnx has an LSTM, a GRU and a simple RNN: a kernel for all gates of a side."""
    found = {}
    for side in "ih":
        parts = [tree[f"{side}{gate}"] for gate in GATES[kind]]
        found[f"dense_{side}"] = {"kernel": np.concatenate([part["kernel"] for part in parts], axis=1)}
        if any("bias" in part for part in parts):
            width = parts[0]["kernel"].shape[1]
            found[f"dense_{side}"]["bias"] = np.concatenate([part.get("bias", np.zeros(width)) for part in parts])
    return found


@pytest.mark.parametrize("kind", GATES)
def test_trees_of_nnx(kind: str) -> None:
    tree = tree_of(kind, 3, 4, 0)
    expected = fr.from_flax(tree)
    given = [joined(kind, tree)]
    if kind == "lstm":  # nnx.LSTMCell, where `if` is no name
        given.append({("if_" if name == "if" else name): part for name, part in tree.items()})
    for one in given:
        layer = fr.from_flax(one)
        assert all(np.array_equal(layer.params[name], value) for name, value in expected.params.items())


@pytest.mark.parametrize(
    ("tree", "error", "said"),
    [
        ({"a": tree_of("lstm", 2, 3, 0), "b": tree_of("gru", 2, 3, 0)}, ValueError, r"got tree\['a'\], tree\['b'\]"),
        ({"Dense_0": {"kernel": np.zeros((2, 3))}}, ValueError, "expected one cell .*, got none"),
        ([tree_of("lstm", 2, 3, 0), tree_of("gru", 3, 3, 0)], ValueError, "cells of one kind, got gru, lstm"),
        ([], ValueError, "cells of one kind, got none"),
        ([(1, 2, 3)], ValueError, "a tree or a pair"),
        (3, TypeError, "tree: expected nested mappings of arrays, got int"),
        ({**tree_of("lstm", 2, 3, 0), "ii": {"scale": 1}}, ValueError, r"tree\['ii'\]: expected a kernel"),
        (
            {**tree_of("rnn", 2, 3, 0), "h": {"kernel": np.zeros(3)}},
            ValueError,
            r"tree\['h'\]\['kernel'\]: expected a m",
        ),
        (tree_of("lstm", 2, 3, 0) | {"ii": {"kernel": np.zeros((2, 3)), "lora": 1}}, ValueError, "got also lora"),
        (
            {name: tree_of("lstm", 2, 3, 0)[name] for name in ("if", "in", "hf", "hn") if name in "if hf"},
            ValueError,
            "none",
        ),
    ],
)
def test_what_is_no_tree_of_a_cell_is_refused(tree: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        fr.from_flax(tree)


def test_options_of_the_constructor() -> None:
    layer = fr.from_flax(tree_of("rnn", 2, 3, 0), nonlinearity="relu", batch_first=False, dtype=np.float32)
    assert repr(layer) == "RNN(2, 3, nonlinearity='relu')"


# By Flax itself


@pytest.mark.parametrize("name", ["OptimizedLSTMCell", "LSTMCell", "GRUCell", "SimpleCell"])
def test_what_linen_computes(name: str) -> None:
    linen = pytest.importorskip("flax.linen", reason="flax is not installed: only its equations are shown")
    jax = pytest.importorskip("jax", reason="jax is not installed")
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    module = linen.RNN(getattr(linen, name)(5))
    variables = module.init(jax.random.key(0), x)
    layer = fr.from_flax(variables["params"])
    check_same_numbers("y", layer(x)[0], np.asarray(module.apply(variables, x)))


@pytest.mark.parametrize("name", ["OptimizedLSTMCell", "LSTMCell", "GRUCell", "SimpleCell"])
def test_what_nnx_computes(name: str) -> None:
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed: only its equations are shown")
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    module = nnx.RNN(getattr(nnx, name)(3, 5, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))
    tree = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    check_same_numbers("y", fr.from_flax(tree)(x)[0], np.asarray(module(x)))
