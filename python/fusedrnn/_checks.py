"""Checks of what callers hand in, and the messages they get back.

The compiled core checks every array's rank, shape and dtype itself. What is checked here is what the core never
sees: constructor values, the structure of a state, the dtype of a mask, and the shapes of inputs that are reshaped
before they reach it. Every message reads `argument: expected …, got …`.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def describe(value: object) -> str:
    """The name of a value in a message: an array's shape and dtype, the type of anything else."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return type(value).__name__


def shown(value: object) -> str:
    """`repr(value)` for a message: cut short where it is long, and of an int that is too long for Python to print."""
    try:
        text = repr(value)
    except ValueError:
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else describe(value)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-20:]}"


LARGEST_SIZE = 2**31 - 1
"""The largest size of a layer or a batch: beyond it the core's 64-bit sizes might overflow before memory ran out."""


def integer(name: str, value: object, minimum: int, maximum: int | None = None) -> int:
    """`value` as an int: TypeError unless integral (bool is not), ValueError when out of range."""
    if type(value) is not int:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        try:
            value = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{name}: expected an integer, got {shown(value)}") from None
    if value < minimum:
        raise ValueError(f"{name}: expected an integer of at least {minimum}, got {shown(value)}")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name}: expected an integer of at most {maximum}, got {shown(value)}")
    return value


def size(name: str, value: object, minimum: int = 1) -> int:
    """`value` as a number of inputs, units, layers or rows."""
    return integer(name, value, minimum, LARGEST_SIZE)


def optional_count(name: str, value: object) -> int:
    """None as 0 (the core's "off"), anything else as a positive int."""
    return 0 if value is None else integer(name, value, 1, sys.maxsize)


def boolean(name: str, value: object) -> bool:
    """`value` as a bool; anything but a bool is a TypeError, so a shifted positional argument does not pass."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name}: expected a bool, got {shown(value)}")


def probability(name: str, value: object) -> float:
    """`value` as a float in [0, 1]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number in [0, 1], got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # an int beyond every float
        number = math.inf
    if not 0.0 <= number <= 1.0:  # NaN fails as well
        raise ValueError(f"{name}: expected a number in [0, 1], got {shown(value)}")
    return number


def one_of(name: str, value: object, names: Sequence[str]) -> str:
    """`value`, which must be one of these names."""
    if isinstance(value, str) and value in names:
        return value
    error = ValueError if isinstance(value, str) else TypeError
    raise error(f"{name}: expected one of {', '.join(names)}, got {shown(value)}")


def real_dtype(dtype: object) -> np.dtype[Any]:
    """float32 or float64, in native byte order."""
    try:
        result: np.dtype[Any] = np.dtype(dtype)  # type: ignore[call-overload]
    except (TypeError, ValueError, KeyError, SyntaxError, OverflowError):  # numpy.dtype reads strings, lists and dicts
        raise TypeError(f"dtype: expected float32 or float64, got {shown(dtype)}") from None
    is_value = isinstance(dtype, (np.generic, np.ndarray))  # its own dtype is not what is asked for
    if dtype is None or is_value or result not in (np.float32, np.float64):
        raise TypeError(f"dtype: expected float32 or float64, got {shown(dtype)}")
    return result


def generator(rng: object) -> np.random.Generator:
    """None, a seed or a Generator as a Generator."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    try:
        return np.random.default_rng(integer("rng", rng, 0))
    except TypeError:
        raise TypeError(f"rng: expected None, an integer seed or a numpy.random.Generator, got {shown(rng)}") from None


def array(name: str, value: object) -> Array:
    """`value`, which must be a NumPy array already: nothing is converted behind the caller's back."""
    if isinstance(value, np.ndarray):
        return value
    raise TypeError(f"{name}: expected a numpy.ndarray, got {describe(value)}")


def number(name: str, value: object, minimum: float, end: float, expected: str) -> float:
    """`value` as a float in [minimum, end); `expected` says so in a message."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number {expected}, got {shown(value)}")
    compared = float(value) if isinstance(value, np.floating) else value  # NumPy would round the bounds to its type
    if not minimum <= compared < end:
        raise ValueError(f"{name}: expected a finite number {expected}, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:  # an int beyond every float
        raise ValueError(f"{name}: expected a finite number {expected}, got {shown(value)}") from None


def not_negative(name: str, value: object) -> float:
    """`value` as a finite number of at least 0."""
    return number(name, value, 0.0, math.inf, "of at least 0")


def positive(name: str, value: object) -> float:
    """`value` as a finite number above 0."""
    return number(name, value, math.nextafter(0.0, 1.0), math.inf, "above 0")


def finite(name: str, value: object) -> float:
    """`value` as a finite number."""
    return number(name, value, -sys.float_info.max, math.inf, "that is not infinite")


def shaped(name: str, value: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`value`, an array of exactly this shape and dtype."""
    if isinstance(value, np.ndarray) and value.shape == shape and value.dtype == dtype:
        return value  # the usual case first: cells pass here on every step
    checked = array(name, value)
    if checked.dtype != dtype:
        raise TypeError(f'{name}: expected dtype {dtype}, got {checked.dtype}; .astype("{dtype}") converts it')
    if checked.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {checked.shape}")
    return checked


def state_pair(name: str, state: object, *, optional: bool = False) -> tuple[Array | None, Array | None]:
    """An LSTM's (h, c). `optional` allows either to be None."""
    if (
        type(state) is tuple
        and len(state) == 2
        and isinstance(state[0], np.ndarray)
        and isinstance(state[1], np.ndarray)
    ):
        return state  # the usual case first: every call with a state passes here
    if not isinstance(state, (tuple, list)):
        raise TypeError(f"{name}: expected a pair (h, c) of arrays, got {describe(state)}")
    if len(state) != 2:
        raise ValueError(f"{name}: expected a pair (h, c) of arrays, got {len(state)} items")
    for part, value in zip("hc", state, strict=True):
        if not isinstance(value, np.ndarray) and not (optional and value is None):
            raise TypeError(f"{name}: expected {part} to be a numpy.ndarray, got {describe(value)}")
    return state[0], state[1]


def state_single(name: str, state: object) -> Array:
    """The one array h that is the state of a GRU or a simple RNN."""
    if isinstance(state, (tuple, list)):
        raise TypeError(f"{name}: expected one array h (only an LSTM has a pair), got {describe(state)}")
    return array(name, state)


def as_array(name: str, value: object, expected: str) -> Array:
    """`numpy.asarray(value)`; TypeError where NumPy makes no array of it, as of a ragged list."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name}: expected {expected}, got {describe(value)} ({error})") from None


def lengths_array(lengths: object) -> NDArray[np.int64]:
    """`lengths` as int64. Floats and bools are refused, also when they happen to be whole numbers."""
    if type(lengths) is np.ndarray and lengths.dtype == np.int64:
        return lengths
    values = as_array("lengths", lengths, "integers")
    # Among integers NumPy takes True for 1.
    for index, value in enumerate(lengths if isinstance(lengths, (list, tuple)) else ()):
        if isinstance(value, (bool, np.bool_)):
            raise TypeError(f"lengths: expected integers, got {value} at index {index}")
    if values.dtype.kind not in "iu" and not (values.size == 0 and isinstance(lengths, (list, tuple))):
        raise TypeError(f"lengths: expected integers, got dtype {values.dtype}")
    if values.dtype.kind == "u" and values.size and int(values.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"lengths: expected values that fit in int64, got {int(values.max())}")
    return values.astype(np.int64)


def mask_array(name: str, mask: object) -> NDArray[np.bool_]:
    """A mask as a bool array. Other dtypes are refused: 0/1 floats are too often something else by mistake."""
    values = as_array(name, mask, "a bool array")
    if values.dtype != np.bool_:
        raise TypeError(f"{name}: expected a bool array, got dtype {values.dtype}")
    return values


def mask_of(name: str, mask: object, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of this shape."""
    values = mask_array(name, mask)
    if values.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {values.shape}")
    return values
