"""Files that Keras writes, in its three formats, are read where Keras cannot be imported, and compute the same.

What is damaged, or would make the reader look elsewhere or run something, is refused with a message.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from keras_calls import as_keras, check, flat, our_state
from keras_cases import Case, random_case
from keras_there import h5py, keras, numpy_of, use_floats

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras on PyTorch, as it saves
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

MODELS = 60
FORMATS = (".keras", ".h5", ".weights.h5")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], tuple[Case, list[Any], dict[str, Any]]]:
    """Random models in every format, each read in one process without Keras: (case, Keras's outputs, ours)."""
    folder = tmp_path_factory.mktemp("keras")
    todo, results = [], {}
    for seed in range(5000, 5000 + MODELS):
        case = random_case(seed, mask=None, states=False)
        out = [numpy_of(part) for part in flat(case.layer(case.x))]
        np.save(folder / f"{seed}.npy", case.x)
        inputs = keras.Input(case.x.shape[1:], dtype=case.x.dtype.name)
        model = keras.Model(inputs, case.layer(inputs))
        for ending in FORMATS:
            path = folder / f"{seed}{ending}"
            (model.save_weights if ending == ".weights.h5" else model.save)(path)
            options = {"config": model.to_json()} if ending == ".weights.h5" else {}
            files = {"path": str(path), "x": str(folder / f"{seed}.npy"), "out": f"{path}.npz"}
            todo.append({**files, "options": options})
            results[seed, ending] = (case, out, files)
    use_floats("float32")
    (folder / "cases.json").write_text(json.dumps(todo))
    program = Path(__file__).parents[1] / "support" / "keras_reader.py"
    done = subprocess.run([sys.executable, str(program), str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {key: (case, out, dict(np.load(files["out"]))) for key, (case, out, files) in results.items()}


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("seed", range(5000, 5000 + MODELS))
def test_a_file_is_read_without_keras(written: Any, seed: int, ending: str) -> None:
    case, theirs, ours = written[seed, ending]
    name = case.layer.name
    state = tuple(ours[f"{name}.{key}"] for key in "hc" if f"{name}.{key}" in ours)
    layer = fr.from_keras(case.layer)
    y = ours[f"{name}.y"]
    for a, b in zip(as_keras(layer, case, y, state if len(state) == 2 else state[0]), theirs, strict=True):
        check(case.text, a, b)


# Models of several layers


def model_of_many() -> Any:
    """Every way in which a layer may lie in a model."""
    layers = keras.layers
    inner = keras.Sequential([keras.Input((None, 3)), layers.LSTM(4, return_sequences=True, name="a")], name="inner")
    x = keras.Input((None, 3), name="x")
    h = layers.Bidirectional(layers.GRU(5, return_sequences=True), merge_mode="sum", name="b")(inner(x))
    h = layers.SimpleRNN(6, return_sequences=True, activation="relu", name="c")(h)
    h = layers.TimeDistributed(layers.Dense(2))(h)
    one = layers.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True, name="d")(h)
    two = layers.RNN(layers.GRUCell(3, reset_after=False), return_sequences=True, name="e")(h)
    two = layers.TimeDistributed(layers.LSTM(2), name="f")(layers.Reshape((-1, 1, 3))(two))
    return keras.Model(x, [one, two], name="many")


def saved(model: Any, path: Path) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


@pytest.mark.parametrize("ending", FORMATS)
def test_layers_have_the_names_of_the_models_that_hold_them(tmp_path: Path, ending: str) -> None:
    model = model_of_many()
    options = {"config": model.to_json()} if ending == ".weights.h5" else {}
    layers = fr.load_keras(saved(model, tmp_path / f"m{ending}"), **options)
    assert {name: type(layer).__name__ for name, layer in layers.items()} == {
        "inner/a": "LSTM",
        "b": "GRU",
        "c": "RNN",
        "d": "LSTM",
        "e": "GRU",
        "f": "LSTM",
    }
    for name, layer in layers.items():
        theirs = model.get_layer("inner").get_layer("a") if name == "inner/a" else model.get_layer(name)
        expected = fr.from_keras(theirs.layer if name == "f" else theirs)
        assert repr(layer) == repr(expected)
        assert all(np.array_equal(layer.params[key], value) for key, value in expected.params.items())
    only = fr.load_keras(tmp_path / f"m{ending}", only=["d", "inner/a"], **options)
    assert list(only) == ["d", "inner/a"]
    with pytest.raises(ValueError, match="only: no recurrent layer named 'g'; there are inner/a, "):
        fr.load_keras(tmp_path / f"m{ending}", only="g", **options)


def test_weights_alone_are_read_with_the_defaults_of_their_shapes(tmp_path: Path) -> None:
    path = saved(model_of_many(), tmp_path / "m.weights.h5")
    with pytest.warns(UserWarning, match="weights alone"):
        layers = fr.load_keras(path)
    assert layers.keys() == fr.load_keras(path, config="defaults").keys()
    assert layers.keys() > {"a", "b", "c", "d", "e"}  # inside of "f" is a layer with a name of its own
    assert (layers["b"].bidirectional, layers["b"].merge) == (True, "concat")
    assert (layers["e"].reset_after, layers["b"].reset_after) == (False, True)


def test_a_stateful_layer_and_a_layer_that_two_models_share(tmp_path: Path) -> None:
    layers = keras.layers
    shared = layers.LSTM(3, return_sequences=True, name="shared")
    one = keras.Sequential([keras.Input((4, 2)), shared], name="one")
    two = keras.Sequential([keras.Input((4, 2)), shared], name="two")
    x = keras.Input(batch_shape=(2, 4, 2))
    kept = layers.GRU(5, stateful=True, name="kept")
    model = keras.Model(x, [kept(one(x)), two(x)])
    for ending in (".keras", ".h5"):
        found = fr.load_keras(saved(model, tmp_path / f"m{ending}"))
        assert set(found) >= {"one/shared", "kept"}
        for name, layer in found.items():
            expected = fr.from_keras(kept if name == "kept" else shared)
            assert np.array_equal(layer.params["weight_hh_l0"], expected.params["weight_hh_l0"]), name


# Files that Keras 2 wrote


def old_file(path: Path, class_name: str, config: dict[str, Any], weights: list[np.ndarray], version: str) -> None:
    layer = {"class_name": class_name, "config": {"name": "rnn_1", **config}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_(version)
        file.attrs["model_config"] = np.bytes_(json.dumps({"class_name": "Sequential", "config": [layer]}))
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"rnn_1"]
        held = group.create_group("rnn_1")
        names = [f"rnn_1/{name}:0" for name in ("kernel", "recurrent_kernel", "bias")[: len(weights)]]
        held.attrs["weight_names"] = [name.encode() for name in names]
        for name, array in zip(names, weights, strict=True):
            held[name] = array


def test_hard_sigmoid_is_that_of_the_version_that_wrote_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    use_floats("float64")
    weights = [rng.normal(size=shape) for shape in ((3, 16), (4, 16), (16,))]
    x = rng.normal(size=(2, 5, 3))
    for version, slope in (("2.2.4-tf", 0.2), ("3.1.0", 1 / 6)):
        old_file(tmp_path / "old.h5", "LSTM", {"units": 4, "recurrent_activation": "hard_sigmoid"}, weights, version)
        ours = fr.load_keras(tmp_path / "old.h5")["rnn_1"]
        theirs = keras.layers.LSTM(
            4, recurrent_activation=lambda a, s=slope: keras.ops.clip(s * a + 0.5, 0, 1), return_sequences=True
        )
        theirs.build(x.shape)
        theirs.set_weights(weights)
        check("y", ours(x)[0], numpy_of(theirs(x)))
    use_floats("float32")
    old_file(tmp_path / "old.h5", "LSTM", {"units": 4, "recurrent_activation": "hard_sigmoid"}, weights, "")
    with pytest.raises(ValueError, match=r"rnn_1: LSTM: recurrent_activation: hard_sigmoid is 0.2x .* keras_version=2"):
        fr.load_keras(tmp_path / "old.h5")
    assert fr.load_keras(tmp_path / "old.h5", keras_version=2)["rnn_1"].activations[0] == "hard_sigmoid"


@pytest.mark.parametrize("in_plain_layer", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_weights_of_cudnn_layers(tmp_path: Path, kind: str, in_plain_layer: bool) -> None:
    """Each gate's W (H, I) row by row, in torch's order of an LSTM, with r and z exchanged of a GRU; two biases."""
    own = getattr(fr, kind)(3, 4, rng=0)
    gates = 4 if kind == "LSTM" else 3
    order = (0, 1, 2, 3) if kind == "LSTM" else (1, 0, 2)

    def blocks(name: str) -> list[np.ndarray]:
        parts = np.split(own.params[name], gates)
        return [parts[k] for k in order]

    weights = [
        np.hstack([w.ravel().reshape(3, 4) for w in blocks("weight_ih_l0")]),
        np.hstack(blocks("weight_hh_l0")),
        np.concatenate(blocks("bias_ih_l0") + blocks("bias_hh_l0")),
    ]
    class_name = kind if in_plain_layer else f"CuDNN{kind}"
    options = {"reset_after": True} if kind == "GRU" and in_plain_layer else {}
    old_file(
        tmp_path / "old.h5", class_name, {"units": 4, "recurrent_activation": "sigmoid", **options}, weights, "2.2.4"
    )
    ours = fr.load_keras(tmp_path / "old.h5")["rnn_1"]
    for name, value in own.params.items():
        assert np.array_equal(ours.params[name], value), name


def test_an_old_gru_says_by_its_bias_where_it_resets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    config = {"units": 2, "activation": "tanh", "recurrent_activation": "sigmoid"}
    for shape, after in (((6,), False), ((2, 6), True)):
        weights = [rng.normal(size=s).astype(np.float32) for s in ((3, 6), (2, 6), shape)]
        old_file(tmp_path / "old.h5", "GRU", config, weights, "2.1.0")
        assert fr.load_keras(tmp_path / "old.h5")["rnn_1"].reset_after is after
    old_file(tmp_path / "old.h5", "GRU", {**config, "use_bias": False}, weights[:2], "2.1.0")
    with pytest.raises(ValueError, match="GRU: reset_after is not in the configuration"):
        fr.load_keras(tmp_path / "old.h5")


def test_paths_of_early_keras_files(tmp_path: Path) -> None:
    """Keras 2.12 and its like had other names for the groups of a `.keras` file."""
    path = tmp_path / "m.keras"
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4, name="rnn")])
    saved(model, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "w.h5").write_bytes(parts["model.weights.h5"])
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        del file["layers/lstm/vars"]
        file.move("layers/lstm", "_layer_checkpoint_dependencies\\lstm")
    parts["model.weights.h5"] = (tmp_path / "w.h5").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    (layer,) = fr.load_keras(path).values()
    assert np.array_equal(layer.params["weight_hh_l0"], fr.from_keras(model.layers[0]).params["weight_hh_l0"])


# What is refused


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4, name="rnn")])
    folder = tmp_path_factory.mktemp("model")
    for ending in FORMATS:
        saved(model, folder / f"m{ending}")
    return folder / "m"


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("sixteenths", range(16))
def test_a_truncated_file_is_refused(model_path: Path, tmp_path: Path, ending: str, sixteenths: int) -> None:
    whole = Path(f"{model_path}{ending}").read_bytes()
    path = tmp_path / f"cut{ending}"
    path.write_bytes(whole[: len(whole) * sixteenths // 16])
    with pytest.raises(ValueError, match=r"truncated or damaged|none of Keras's files"):
        fr.load_keras(path, config="defaults")


def test_a_damaged_archive_is_refused(model_path: Path, tmp_path: Path) -> None:
    whole = bytearray(Path(f"{model_path}.keras").read_bytes())
    for place in range(60, len(whole), len(whole) // 50):
        flipped = whole.copy()
        flipped[place] ^= 0x55
        (tmp_path / "m.keras").write_bytes(flipped)
        try:
            fr.load_keras(tmp_path / "m.keras")
        except ValueError as error:
            assert str(error)  # noqa: PT017  (a flip in a date, or in what is not read, does no harm)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    for content, said in (
        (pickle.dumps({"a": np.zeros(3)}), "begins as a pickle does, and nothing is ever unpickled"),
        (b"", "it is empty"),
        (b"something else", "none of Keras's files"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=said):
            fr.load_keras(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"")
    with pytest.raises(ValueError, match=r"expected config.json and model.weights.h5 in .*, got data.pkl"):
        fr.load_keras(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", b"{" * 10)
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(ValueError, match=r"config.json: expected JSON"):
        fr.load_keras(path)
    with pytest.raises(FileNotFoundError):
        fr.load_keras(tmp_path / "nowhere.keras")


def test_a_lambda_layer_is_refused_and_never_run(tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((None, 3)), layers.LSTM(4, name="rnn"), layers.Lambda(lambda a: a, name="code")]
    )
    path = saved(model, tmp_path / "m.keras")
    with pytest.raises(ValueError, match="Lambda layer"):
        fr.load_keras(path)
    assert list(fr.load_keras(path, only=["rnn"])) == ["rnn"]


def kernel_of(file: Any) -> str:
    """Where the kernel of the layer "rnn" is."""
    return "model_weights/rnn/" + next(iter(file["model_weights/rnn"].attrs["weight_names"]))


def test_links_out_of_the_file_are_refused(model_path: Path, tmp_path: Path) -> None:
    for kind, said in (("external", "ExternalLink"), ("soft", "SoftLink"), ("storage", "dataset of another file"),
                       ("virtual", "dataset of another file"), ("huge", "the file holds fewer")):  # fmt: skip
        path = tmp_path / f"{kind}.h5"
        path.write_bytes(Path(f"{model_path}.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            name = kernel_of(file)
            bias = file[name.replace("kernel", "bias")].name
            del file[name]
            if kind == "external":
                file[name] = h5py.ExternalLink("/etc/hostname", "/x")
            elif kind == "soft":
                file[name] = h5py.SoftLink(bias)
            elif kind == "storage":
                file.create_dataset(name, (3, 16), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])
            elif kind == "virtual":
                layout = h5py.VirtualLayout((3, 16), "f4")
                layout[:] = h5py.VirtualSource("/etc/hostname", "x", (3, 16))
                file.create_virtual_dataset(name, layout)
            else:
                file.create_dataset(name, (2**30, 16), "f4", chunks=(1024, 16))
        with pytest.raises(ValueError, match=said):
            fr.load_keras(path)


def test_a_layer_without_its_weights_or_with_others_is_refused(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    for change, said in (("missing", "rnn: "), ("other", r"rnn: lstm of 4 units: expected kernels .* got \(3, 12\)")):
        path.write_bytes(Path(f"{model_path}.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            name = kernel_of(file)
            del file[name]
            if change == "other":
                file[name] = np.zeros((3, 12), np.float32)
        with pytest.raises(ValueError, match=said):
            fr.load_keras(path)


def test_layers_and_options_that_have_no_counterpart_are_refused_by_name(tmp_path: Path) -> None:
    layers = keras.layers
    for layer, said in (
        (layers.ConvLSTM1D(2, 3, name="conv"), "conv: ConvLSTM1D: expected one of LSTM, GRU"),
        (layers.RNN([layers.LSTMCell(2), layers.LSTMCell(2)], name="stack"), "stack: RNN: expected a cell .*Stacked"),
    ):
        shape = (5, 7, 3) if "conv" in layer.name else (5, 3)
        model = keras.Sequential([keras.Input(shape), layer])
        with pytest.raises(ValueError, match=said):
            fr.load_keras(saved(model, tmp_path / "m.keras"))
    weights = [np.zeros(shape, np.float32) for shape in ((3, 8), (2, 8), (8,))]
    old_file(tmp_path / "old.h5", "LSTM", {"units": 2, "forgetful": True}, weights, "3.0.0")
    with pytest.raises(ValueError, match="rnn_1: LSTM: option forgetful=True is not supported"):
        fr.load_keras(tmp_path / "old.h5")


def test_without_h5py_the_message_says_what_to_install(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"fusedrnn\[keras\]"):
        fr.load_keras(f"{model_path}.keras")


def test_our_state_of_keras_state_is_direction_by_direction() -> None:
    h, c = our_state(fr.LSTM(2, 3, bidirectional=True), [np.full((1, 3), k) for k in range(4)])
    assert (h[:, 0, 0].tolist(), c[:, 0, 0].tolist()) == ([0, 2], [1, 3])
