"""The optional packages, imported when they are first needed."""

from __future__ import annotations

import importlib
from typing import Any


def package(name: str) -> Any:
    """The module `name` of onnx or onnxruntime; ModuleNotFoundError says how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.partition(".")[0]
        if error.name != top:
            raise
        raise ModuleNotFoundError(
            f"fusedrnn.onnx needs the package {top} for this: pip install 'fusedrnn[onnx]'", name=top
        ) from None
