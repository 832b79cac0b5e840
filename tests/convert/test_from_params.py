"""`from_params` makes the layer whose parameters it is given, whatever their names, shapes, gate order and biases are.

Each test lays the parameters of one of our layers out as another framework would, and gets the layer back to the bit.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn.convert.params.gate_orders import FRAMEWORKS, OWN, SYNONYMS, block_order

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "loading.md"

LAYERS: tuple[tuple[type, dict[str, Any]], ...] = (
    (fr.LSTM, {}),
    (fr.LSTM, {"num_layers": 2, "bidirectional": True, "proj_size": 3}),
    (fr.LSTM, {"bias": False, "num_layers": 3}),
    (fr.LSTM, {"peephole": True}),
    (fr.LSTM, {"coupled": True, "layer_norm": True}),
    (fr.LSTM, {"learned_state": True, "num_layers": 2, "connection": "highway"}),
    (fr.GRU, {"bidirectional": True}),
    (fr.GRU, {"reset_after": False, "num_layers": 2, "bidirectional": True, "merge": "sum"}),
    (fr.GRU, {"minimal": True}),
    (fr.GRU, {"layer_norm": True, "reverse": True}),
    (fr.RNN, {"num_layers": 2}),
    (fr.RNN, {"independent": True, "nonlinearity": "relu"}),
)
FROM_SHAPES = ("num_layers", "bidirectional", "proj_size", "bias")


def made(kind: type, options: dict[str, Any], dtype: Any = np.float32) -> Any:
    return kind(4 if "connection" not in options else 5, 5, dtype=dtype, rng=0, **options)


def others(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in FROM_SHAPES}


def same(a: Any, b: Any) -> None:
    assert repr(a) == repr(b)
    assert list(a.params) == list(b.params)
    for name, value in a.params.items():
        assert np.array_equal(value, b.params[name]), name


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_sizes_layers_and_directions_are_read_from_the_shapes(kind: Any, options: dict[str, Any]) -> None:
    for dtype in (np.float32, np.float64):
        layer = made(kind, options, dtype)
        mapping = {f"model.rnn.{name}": value for name, value in layer.params.items()}
        mapping |= {"model.head.weight": np.zeros((2, 5)), "model.rnn.scale": np.zeros(1), "step": 3}
        same(kind.from_params(mapping, **others(options)), layer)
        same(kind.from_params(mapping, "model.rnn.", **others(options)), layer)


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_the_layer_has_copies(kind: Any, options: dict[str, Any]) -> None:
    mapping = {name: value.copy() for name, value in made(kind, options).params.items()}
    layer = kind.from_params(mapping, **others(options))
    before = {name: value.copy() for name, value in layer.params.items()}
    for value in mapping.values():
        value[...] = 7
    assert all(np.array_equal(layer.params[name], value) for name, value in before.items())


# Gate orders


def in_order(layer: Any, gates: str, own: str) -> dict[str, np.ndarray]:
    """The parameters with their blocks in another order, which is written in our letters."""
    found = {}
    for name, value in layer.params.items():
        if name.startswith(("weight_ih", "weight_hh", "bias", "gain_ih", "gain_hh")):
            blocks = dict(zip(own, np.split(value, len(own)), strict=True))
            value = np.concatenate([blocks[letter] for letter in gates])
        found[name] = value
    return found


def own_letters(cell: str, gates: str) -> str:
    return "".join(SYNONYMS[cell].get(letter, letter) for letter in gates)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_order_of_every_framework(framework: str, cell: str) -> None:
    gates = getattr(FRAMEWORKS[framework], cell)
    kind: Any = getattr(fr, cell.upper())
    layer = kind(3, 4, num_layers=2, bidirectional=True, rng=0)
    if gates is None:
        with pytest.raises(ValueError, match="has no one order"):
            kind.from_params(dict(layer.params), gates=framework)
        return
    mapping = in_order(layer, own_letters(cell, gates), OWN[cell])
    same(kind.from_params(mapping, gates=gates), layer)
    same(kind.from_params(mapping, gates=framework), layer)


def test_the_page_has_the_orders_of_the_code() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    shown = {row[0].strip(" `"): tuple(cell.strip(" `") or None for cell in row[1:3]) for row in rows}
    assert {name: shown.get(name) for name in FRAMEWORKS} == {
        name: (order.lstm or "–", order.gru or "–") for name, order in FRAMEWORKS.items()
    }


def test_other_numbers_of_gates() -> None:
    coupled = fr.LSTM(3, 4, coupled=True, rng=0)
    same(fr.LSTM.from_params(in_order(coupled, "oig", "igo"), gates="oig", coupled=True), coupled)
    minimal = fr.GRU(3, 4, minimal=True, rng=0)
    mapping = in_order(minimal, "nf", "fn")
    same(fr.GRU.from_params(mapping, gates="nf", minimal=True), minimal)
    normed = fr.LSTM(3, 4, layer_norm=True, rng=0)
    same(fr.LSTM.from_params(in_order(normed, "fogi", "ifgo"), gates="fogi", layer_norm=True), normed)


@pytest.mark.parametrize(
    ("kind", "gates", "error"),
    [
        (fr.LSTM, "ifg", ValueError),
        (fr.LSTM, "ifgg", ValueError),
        (fr.LSTM, "rzn", ValueError),
        (fr.LSTM, "caffe17", ValueError),
        (fr.GRU, "ifgo", ValueError),
        (fr.RNN, "ifgo", ValueError),
        (fr.GRU, ["r", "z", "n"], TypeError),
    ],
)
def test_no_such_order(kind: Any, gates: Any, error: type) -> None:
    with pytest.raises(error, match=r"^gates: "):
        kind.from_params(dict(kind(3, 4, rng=0).params), gates=gates)


def test_a_z_that_updates() -> None:
    """h' = (1 - z) h + z n is our h' with the complement of z: the rows of z with the other sign."""
    layer = fr.GRU(3, 4, num_layers=2, bidirectional=True, dtype=np.float64, rng=0)
    mapping = {
        name: np.concatenate([r, -z, n])
        for name, (r, z, n) in ((name, np.split(value, 3)) for name, value in layer.params.items())
    }
    same(fr.GRU.from_params(mapping, z="update"), layer)
    mapping = in_order(fr.GRU.from_params(mapping), "zrn", "rzn")
    same(fr.GRU.from_params(mapping, gates="urc", z="update"), layer)
    for options, said in (({"activations": ("relu", "tanh")}, "needs the gate activation sigmoid"),
                          ({"layer_norm": True}, "where there is no plain GRU")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            fr.GRU.from_params(dict(fr.GRU(3, 4, **options).params), z="update", **options)
    with pytest.raises(ValueError, match=r"^z: expected"):
        fr.LSTM.from_params(dict(fr.LSTM(3, 4).params), z="update")
    with pytest.raises(ValueError, match=r"^z: expected one of keep, update"):
        fr.GRU.from_params(mapping, z="both")  # type: ignore[arg-type]


# Names, biases, layouts


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_transposed_kernels(kind: Any, options: dict[str, Any]) -> None:
    layer = made(kind, options)
    matrices = ("weight_ih", "weight_hh", "weight_hr")
    mapping = {name: value.T if name.startswith(matrices) else value for name, value in layer.params.items()}
    same(kind.from_params(mapping, transposed=True, **others(options)), layer)


@pytest.mark.parametrize("kind", [fr.LSTM, fr.GRU, fr.RNN])
@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_l0", "bias"])
def test_one_bias(kind: Any, name: str) -> None:
    layer = kind(3, 4, rng=0)
    layer.params["bias_hh_l0"] = np.zeros_like(layer.params["bias_hh_l0"])
    mapping = dict(layer.params)
    del mapping["bias_hh_l0"]
    mapping[name] = mapping.pop("bias_ih_l0")
    same(kind.from_params(mapping, biases=1), layer)
    if name == "bias_ih_l0":
        with pytest.raises(ValueError, match=r"missing: bias_hh_l0; a cell with one bias wants biases=1"):
            kind.from_params(mapping)
    with pytest.raises(ValueError, match=r"biases: expected one bias, and bias_hh_l0 is a second"):
        kind.from_params(dict(layer.params), biases=1)


def test_names_of_a_cell_have_no_number() -> None:
    cell = fr.LSTMCell(3, 4, rng=0)
    layer = fr.LSTM.from_params({f"decoder.rnn.{name}": value for name, value in cell.params.items()})
    assert np.array_equal(layer.params["weight_hh_l0"], cell.params["weight_hh"])
    assert (layer.num_layers, layer.bidirectional) == (1, False)


def test_names_that_are_no_torch_names() -> None:
    layer = fr.GRU(3, 4, bidirectional=True, rng=0)
    theirs = {name: f"enc_{k}" for k, name in enumerate(layer.params)}
    mapping = {f"net/{theirs[name]}": value for name, value in layer.params.items()}
    same(fr.GRU.from_params(mapping, "net/", names=theirs), layer)
    with pytest.raises(ValueError, match=r"names: net/enc_9 is not in the mapping, which has net/enc_0"):
        fr.GRU.from_params(mapping, "net/", names={**theirs, "bias_ih_l0": "enc_9"})
    with pytest.raises(ValueError, match=r"names: expected names such as weight_ih_l0, got 'kernel'"):
        fr.GRU.from_params(mapping, "net/", names={"kernel": "enc_0"})


def test_a_prefix_is_needed_where_there_are_several_layers() -> None:
    encoder, decoder = fr.LSTM(3, 4, rng=0), fr.LSTM(4, 4, rng=1)
    mapping = {
        f"{part}.{name}": v for part, layer in (("enc", encoder), ("dec", decoder)) for name, v in layer.params.items()
    }
    with pytest.raises(
        ValueError,
        match=re.escape("prefix: needed to say which layer is meant; there are recurrent layers at 'enc.', 'dec.'"),
    ):
        fr.LSTM.from_params(mapping)
    same(fr.LSTM.from_params(mapping, "dec."), decoder)
    with pytest.raises(ValueError, match=r"prefix: expected middle.weight_ih_l0 .* at 'enc.', 'dec.'"):
        fr.LSTM.from_params(mapping, "middle.")
    with pytest.raises(ValueError, match=r"prefix: needed .* names= can say which are meant; it has a, b"):
        fr.LSTM.from_params({"a": np.zeros(3), "b": np.zeros(3)})


# Parameters that do not fit


def test_another_cell_is_recognised_by_its_shapes() -> None:
    with pytest.raises(ValueError, match=r"that is 3 gates, as a GRU has"):
        fr.LSTM.from_params(dict(fr.GRU(3, 4).params))
    with pytest.raises(ValueError, match=r"that is 4 gates, as a LSTM has"):
        fr.GRU.from_params(dict(fr.LSTM(3, 6).params))
    with pytest.raises(ValueError, match=r"matrices want transposed=True"):
        fr.GRU.from_params({name: v.T for name, v in fr.GRU(3, 4).params.items()})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.pop("bias_ih_l1"), "missing: bias_ih_l1"),
        (lambda m: m.pop("weight_hh_l1"), "missing: weight_hh_l1"),
        (lambda m: m.pop("weight_ih_l0"), "missing: weight_ih_l0"),
        (lambda m: m.update(weight_ih_l3=m["weight_ih_l1"]), "missing: weight_ih_l2"),
        (lambda m: m.update(weight_ih_l0_reverse=m["weight_ih_l0"]), "missing: weight_ih_l1_reverse"),
        (lambda m: m.update(weight_ch_l0=np.zeros(12)), "no place for: weight_ch_l0; options of the layer"),
        (lambda m: m.update(weight_ih=m["weight_ih_l0"]), "expected one name for weight_ih_l0"),
        (lambda m: m.update(weight_hh_l1=np.zeros((16, 5))), r"weight_hh_l1: expected shape \(16, 4\), got \(16, 5\)"),
        (lambda m: m.update(weight_hh_l0=np.zeros(16)), "expected matrices"),
    ],
)
def test_what_is_missing_or_has_no_place_is_named(change: Any, said: str) -> None:
    mapping = dict(fr.LSTM(3, 4, num_layers=2).params)
    change(mapping)
    with pytest.raises(ValueError, match=said):
        fr.LSTM.from_params(mapping, "")


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"num_layers": 2}, TypeError, "num_layers: read from the shapes"),
        ({"prefix": 3}, TypeError, "prefix: expected a string or None"),
        ({"biases": 3}, ValueError, "biases: expected an integer of at most 2"),
        ({"transposed": 1}, TypeError, "transposed: expected a bool"),
        ({"dtype": np.float16}, TypeError, "dtype: expected float32 or float64"),
        ({"peephole": True}, ValueError, "missing: weight_ch_l0"),
        ({"names": ["a"]}, TypeError, "names: expected a mapping"),
        ({"mapping": [1]}, TypeError, "mapping: expected a mapping of names to arrays or the path"),
        ({"mapping": "nowhere.safetensors"}, FileNotFoundError, "nowhere"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type, said: str) -> None:
    given = {"mapping": dict(fr.LSTM(3, 4).params), **arguments}
    with pytest.raises(error, match=said):
        fr.LSTM.from_params(**given)


def test_values_that_are_no_floats() -> None:
    mapping = dict(fr.LSTM(3, 4).params)
    for value, said in ((np.zeros((16, 3), int), "int64"), ("text", "str|<U4"), ([[1.0], [1.0, 2.0]], "list")):
        with pytest.raises(TypeError, match=f"weight_ih_l0: expected an array of floats, got .*({said})"):
            fr.LSTM.from_params({**mapping, "weight_ih_l0": value})


def test_half_precision_becomes_float32() -> None:
    layer = fr.LSTM(3, 4, rng=0)
    halved = {name: value.astype(np.float16) for name, value in layer.params.items()}
    made = fr.LSTM.from_params(halved)
    assert made.dtype == np.float32
    assert np.array_equal(made.params["weight_ih_l0"], halved["weight_ih_l0"].astype(np.float32))
    assert fr.LSTM.from_params(halved, dtype=np.float64).dtype == np.float64


# Files


def test_a_safetensors_file(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    layer = fr.LSTM(3, 4, num_layers=2, rng=0)
    arrays = {f"rnn.{name}": value for name, value in layer.params.items()} | {"tokens": np.zeros(3, np.int64)}
    safetensors.save_file(arrays, tmp_path / "m.safetensors")
    same(fr.LSTM.from_params(tmp_path / "m.safetensors"), layer)
    same(fr.LSTM.from_params(str(tmp_path / "m.safetensors"), "rnn."), layer)
    (tmp_path / "m.safetensors").write_bytes(b"\x80\x05pickle")
    with pytest.raises(ValueError, match="damaged or none"):
        fr.LSTM.from_params(tmp_path / "m.safetensors")


def test_a_safetensors_file_with_types_that_numpy_does_not_have(tmp_path: Path) -> None:
    """The format by hand: the size of a header, a header in JSON, and the values."""
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    layer = fr.GRU(3, 4, rng=0)
    header: dict[str, Any] = {"other": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    values = b"ab"
    for name, value in layer.params.items():
        upper = (value.view(np.uint32) >> 16).astype(np.uint16)
        layer.params[name] = (upper.astype(np.uint32) << 16).view(np.float32)
        place = [len(values), len(values) + upper.nbytes]
        header[f"rnn.{name}"] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": place}
        values += upper.tobytes()
    text = json.dumps(header).encode()
    (tmp_path / "m.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + values)
    same(fr.GRU.from_params(tmp_path / "m.safetensors"), layer)
    names = {name: f"rnn.{name}" for name in layer.params} | {"weight_ih_l0": "other"}
    with pytest.raises(TypeError, match="other: expected an array of floats"):
        fr.GRU.from_params(tmp_path / "m.safetensors", names=names)


def test_an_npz_file_is_a_mapping(tmp_path: Path) -> None:
    layer = fr.GRU(3, 4, rng=0)
    np.savez(tmp_path / "m.npz", **dict(layer.params))
    with np.load(tmp_path / "m.npz") as mapping:
        same(fr.GRU.from_params(mapping), layer)
    with pytest.raises(ValueError, match=r"numpy.load\(path\) gives a mapping"):
        fr.GRU.from_params(tmp_path / "m.npz")


def test_order_of_blocks() -> None:
    assert block_order("lstm", "ifco", "ifgo") == [0, 1, 2, 3]
    assert block_order("lstm", "iofc", "ifgo") == [0, 2, 3, 1]
    assert block_order("gru", None, "rzn") == [0, 1, 2]
