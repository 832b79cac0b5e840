"""fusedrnn: fast recurrent networks on a CPU, in one small wheel that needs only NumPy.

    import numpy as np
    import fusedrnn as fr

    lstm = fr.LSTM(64, 128, rng=0)
    y, (h, c) = lstm(np.zeros((50, 32, 64), np.float32))

Layers (`LSTM`, `GRU`, `RNN`) run whole sequences, cells one step, streams keep a state between steps;
`fusedrnn.functional` has the same without objects, and `fusedrnn.reference` says in plain NumPy what every result
must be.

Each name has a help of its own, such as help(fusedrnn.LSTM):

layers       LSTM, GRU, RNN
one step     LSTMCell, GRUCell, RNNCell; Stream, which layer.stream() makes (streaming)
functions    functional.lstm, functional.gru, functional.rnn
gradients    Tape and Gradients, of layer.record() and tape.backward(); gradient_flow
models       nn: Sequential, Embedding, Linear, losses, initial values
weights      from_torch, from_keras, load_keras, from_flax; LSTM.from_params
training     fit, tbptt; optim: optimisers, clipping, schedules
files        save and load: whole modules; onnx: operators and models of ONNX
pictures     plot
equations    reference
settings     set_num_threads, get_num_threads, threads, isa, use_isa, available_isas, build_info

`python -m fusedrnn` lists the commands, and says where the documentation and the examples are.
"""

# There is no __all__: with it help(fusedrnn) would print every class in full. `as` says which names are public.

import typing as _typing

from fusedrnn import functional as functional
from fusedrnn import streaming as streaming
from fusedrnn._tape import Gradients as Gradients
from fusedrnn._tape import Tape as Tape
from fusedrnn.cells import GRUCell as GRUCell
from fusedrnn.cells import LSTMCell as LSTMCell
from fusedrnn.cells import RNNCell as RNNCell
from fusedrnn.layers import GRU as GRU
from fusedrnn.layers import LSTM as LSTM
from fusedrnn.layers import RNN as RNN
from fusedrnn.runtime import available_isas as available_isas
from fusedrnn.runtime import build_info as build_info
from fusedrnn.runtime import get_num_threads as get_num_threads
from fusedrnn.runtime import isa as isa
from fusedrnn.runtime import set_num_threads as set_num_threads
from fusedrnn.runtime import threads as threads
from fusedrnn.runtime import use_isa as use_isa
from fusedrnn.streaming import Stream as Stream

if _typing.TYPE_CHECKING:
    from fusedrnn import nn as nn
    from fusedrnn import onnx as onnx
    from fusedrnn import optim as optim
    from fusedrnn import plot as plot
    from fusedrnn import reference as reference
    from fusedrnn.convert import from_flax as from_flax
    from fusedrnn.convert import from_keras as from_keras
    from fusedrnn.convert import from_torch as from_torch
    from fusedrnn.convert import load_keras as load_keras
    from fusedrnn.files import load as load
    from fusedrnn.files import save as save
    from fusedrnn.training.fit import fit as fit
    from fusedrnn.training.gradient_flow import gradient_flow as gradient_flow
    from fusedrnn.training.tbptt import tbptt as tbptt

    __version__: str

_MODULES = {
    **dict.fromkeys(("fit", "gradient_flow", "tbptt"), "training"),
    **dict.fromkeys(("from_flax", "from_keras", "from_torch", "load_keras"), "convert"),
    **dict.fromkeys(("load", "save"), "files"),
}
_LATER = {"nn", "onnx", "optim", "plot", "reference", "__version__", *_MODULES}
"""What no network needs to run is found when it is first asked for."""


if not _typing.TYPE_CHECKING:  # a type checker that saw it would accept any name

    def __getattr__(name: str) -> _typing.Any:
        import importlib

        if name in ("nn", "onnx", "optim", "plot", "reference"):
            return importlib.import_module(f"fusedrnn.{name}")
        if name in _MODULES:
            return getattr(importlib.import_module(f"fusedrnn.{_MODULES[name]}"), name)
        if name == "__version__":
            from importlib import metadata

            try:
                value = metadata.version("fusedrnn")
            except metadata.PackageNotFoundError:  # run from a source tree
                value = "unknown"
            globals()["__version__"] = value
            return value
        raise AttributeError(f"module 'fusedrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
