"""Formats of weights that have no reader elsewhere: Paddle's, Tesseract's, and pickles of which nothing runs."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np


def paddle_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every file of a folder as an array: 20 bytes of versions and a length, a protobuf with the shape, float32."""
    found = {}
    for path in folder.iterdir():
        data = path.read_bytes()
        (length,) = struct.unpack_from("<i", data, 16)
        shape = _shape(data[20 : 20 + length])
        found[path.name] = np.frombuffer(data, np.float32, offset=20 + length).reshape(shape)
    return found


def _shape(message: bytes) -> list[int]:
    """The varints of a TensorDesc: after its type (key 8, float32 is 5) each dimension with the key 16."""
    numbers, value, shift = [], 0, 0
    for byte in message:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value, shift = 0, 0
    if numbers[:2] != [8, 5] or set(numbers[2::2]) != {16}:
        raise ValueError(f"expected the description of a float32 array, got {message!r}")
    return numbers[3::2]


class Inert(pickle.Unpickler):
    """Reads a pickle of arrays inside objects. Objects become namespaces with a `kind`; no code of theirs runs."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "dtype"), ("numpy", "ndarray")):
            return getattr(np, name)
        if module.startswith("numpy.") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]  # wherever this NumPy has it
        if module.startswith("madmom."):
            return type(name, (SimpleNamespace,), {"kind": name})
        if (module, name) in (("copy_reg", "_reconstructor"), ("__builtin__", "object")):
            return _new if name == "_reconstructor" else object
        raise pickle.UnpicklingError(f"expected arrays and madmom's layers, got {module}.{name}")


def _new(kind: type, base: type, state: object) -> Any:
    return kind()


def inert(path: Path) -> Any:
    """What a pickle written by Python 2 or 3 holds."""
    with path.open("rb") as file:
        return Inert(file, encoding="latin1").load()


class TesseractNetwork:
    """The network of a .traineddata file: its layers in the order in which they run.

    Attributes:
        layers: [(kind, matrices)]; an LSTM has four, of g, i, f and o, each (H, I + H + 1). They were rounded to int8
            with a scale a row, and are float32 here.
    """

    BOXES = ("Series", "Parallel", "XYTranspose", "RTLReversed")
    NUMBERS: ClassVar = {"Input": 5, "Convolve": 2, "Maxpool": 2, "LSTM": 1, "SummLSTM": 1}
    LSTM_PART, RATE_A_LAYER, INT8 = 17, 64, 1

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self._at = 0
        offsets = self._take(f"{self._take('i')[0]}q")
        self._at = offsets[self.LSTM_PART]
        self.layers: list[tuple[str, list[np.ndarray]]] = []
        self._read()

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def _string(self) -> str:
        (size,) = self._take("I")
        return bytes(self._take(f"{size}s")[0]).decode()

    def _read(self) -> None:
        self._take("b")
        kind = self._string()
        flags = self._take("bbiiii")[2]
        self._string()  # its name
        if kind in self.BOXES:
            for _ in range(self._take("I")[0]):
                self._read()
            if flags & self.RATE_A_LAYER:
                self._take(f"{self._take('I')[0]}f")
            return
        self._take(f"{self.NUMBERS.get(kind, 0)}i")
        matrices = {"LSTM": 4, "SummLSTM": 4, "Input": 0, "Convolve": 0, "Maxpool": 0}.get(kind, 1)
        self.layers.append((kind, [self._matrix() for _ in range(matrices)]))

    def _matrix(self) -> np.ndarray:
        mode, rows, columns, _ = self._take("BIIb")
        if not mode & self.INT8:
            raise ValueError(f"expected a matrix of int8, got mode {mode}")
        values = np.array(self._take(f"{rows * columns}b"), np.float32).reshape(rows, columns)
        scales = np.array(self._take(f"{self._take('I')[0]}d"), np.float32)
        return values * scales[:, None]
