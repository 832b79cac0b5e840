"""Arrays by name, out of whatever holds them: dicts of arrays or tensors, safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._saving import raw_tensors


def named(mapping: object) -> Mapping[str, object]:
    """`mapping` itself, or what a safetensors file holds.

    Raises:
        TypeError: it is neither a mapping nor a path.
        ImportError, OSError, ValueError: as `fusedrnn._saving.raw_tensors` has them.
    """
    if isinstance(mapping, Mapping):
        return mapping
    if isinstance(mapping, (str, os.PathLike)):
        path = Path(mapping)
        if path.suffix == ".npz":
            raise ValueError(f"mapping: {path} is no safetensors file; numpy.load(path) gives a mapping of its arrays")
        return _of_safetensors(path)
    raise TypeError(
        f"mapping: expected a mapping of names to arrays or the path of a safetensors file, "
        f"got {_checks.describe(mapping)}"
    )


FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def _of_safetensors(path: Path) -> dict[str, object]:
    """The floats of a file as arrays, bfloat16 as float32; of what else is in it only the name of its type."""
    found: dict[str, object] = {}
    for name, dtype, shape, data in raw_tensors(path):
        if dtype in FLOATS:
            found[name] = np.frombuffer(data, FLOATS[dtype]).reshape(shape)
        elif dtype == "BF16":  # the upper half of a float32
            bits = np.frombuffer(data, np.uint16).astype(np.uint32) << np.uint32(16)
            found[name] = bits.view(np.float32).reshape(shape)
        else:
            found[name] = dtype
    return found


def as_floats(name: str, value: object) -> Array:
    """`value` as an array of floats: half precision becomes float32, what is no float is refused."""
    array = _as_numpy(name, value)
    if array.dtype == np.float16 or array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected an array of floats, got {_checks.describe(array)}")
    return array


def _as_numpy(name: str, value: object) -> Array:
    tensor: Any = value
    if hasattr(tensor, "detach"):  # a torch tensor, or a parameter, of any device
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type
            tensor = tensor.float()
    try:
        return np.asarray(tensor)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name}: expected an array of floats, got {_checks.describe(value)} ({error})") from None


def result_dtype(dtype: object, arrays: list[Array]) -> np.dtype[Any]:
    """The dtype asked for, or without one that of the arrays: float64 where one of them is, else float32."""
    if dtype is not None:
        return _checks.real_dtype(dtype)
    return np.dtype(np.float64 if any(array.dtype == np.float64 for array in arrays) else np.float32)
