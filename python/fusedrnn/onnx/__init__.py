"""ONNX's recurrent operators, and models that hold them.

    from fusedrnn import onnx as fonnx

    layers = fonnx.load("model.onnx")                  # {node's name: fusedrnn layer}
    model = fonnx.accelerate("model.onnx")             # the whole model: fusedrnn beside ONNX Runtime
    y, = model.run(None, {"x": x})

`lstm`, `gru` and `rnn` are the operators with their own names of arguments and attributes, `Operator` is the same with
weights that are converted once. `load`, `accelerate` and `to_onnx` are for models. The module `backend` is ONNX's
interface for its own tests.

The functions and `Operator` need NumPy only, the rest the package onnx, and `accelerate` onnxruntime:
`pip install 'fusedrnn[onnx]'`.
"""

from __future__ import annotations

import typing as _typing

from fusedrnn.onnx._functions import gru, lstm, rnn
from fusedrnn.onnx._operator import Operator

if _typing.TYPE_CHECKING:
    from fusedrnn.onnx import backend as backend
    from fusedrnn.onnx._accelerate import Accelerated as Accelerated
    from fusedrnn.onnx._accelerate import accelerate as accelerate
    from fusedrnn.onnx._export import to_onnx as to_onnx
    from fusedrnn.onnx._load import load as load

__all__ = ["Accelerated", "Operator", "accelerate", "gru", "load", "lstm", "rnn", "to_onnx"]

_LATER = {"accelerate": "_accelerate", "Accelerated": "_accelerate", "to_onnx": "_export", "load": "_load"}
"""What needs the package onnx is imported when it is first asked for: names and their modules."""


if not _typing.TYPE_CHECKING:  # a type checker that saw it would accept any name

    def __getattr__(name: str) -> _typing.Any:
        import importlib

        if name == "backend":
            return importlib.import_module("fusedrnn.onnx.backend")
        if name in _LATER:
            return getattr(importlib.import_module(f"fusedrnn.onnx.{_LATER[name]}"), name)
        raise AttributeError(f"module 'fusedrnn.onnx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "backend"})
