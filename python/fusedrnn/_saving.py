"""Arrays in a file, by safetensors: https://github.com/huggingface/safetensors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fusedrnn._checks import Array
from fusedrnn._files import require_writable, whole_file

__all__ = ["load_arrays", "require_saving", "save_arrays"]


def save_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write the arrays; when anything fails, the file that was there before is there still.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be written.
    """
    numpy_part = _safetensors("safetensors.numpy")
    with whole_file(path) as file:
        whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        file.write_bytes(numpy_part.save(whole, dict(metadata or {})))


def require_saving(path: Path) -> None:
    """An error now where `save_arrays` would fail after hours: OSError of the path, ImportError without safetensors."""
    _safetensors("safetensors.numpy")
    require_writable(path)


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a file, and its metadata.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be read.
        ValueError: it is damaged, or no safetensors file.
    """
    opened = _safetensors("safetensors")
    with open(path, "rb"):  # an OSError that names the file
        pass
    try:
        with opened.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except opened.SafetensorError as error:
        raise ValueError(f"{path}: expected a safetensors file, this one is damaged or none: {error}") from None
    except (TypeError, AttributeError, KeyError) as error:  # bfloat16 and others that NumPy does not have
        raise ValueError(f"{path}: expected arrays of types that NumPy has: {error}") from None


def _safetensors(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError('saving and loading need safetensors: pip install "fusedrnn[train]"') from None
