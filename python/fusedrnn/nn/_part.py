"""What every part of a model shares: parameters by name, and the tape of one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NoReturn

import numpy as np

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._params import as_parameter, overlaps_another, takes
from fusedrnn._tape import Gradients


class PartParams(MutableMapping[str, Array]):
    """The named parameters of a part: plain arrays under fixed names. Change one in place, or assign another."""

    __slots__ = ("_arrays", "_dtype")

    def __init__(self, arrays: Mapping[str, Array], dtype: np.dtype[Any]) -> None:
        self._arrays = dict(arrays)
        self._dtype = dtype

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __setitem__(self, name: str, value: object) -> None:
        if name not in self._arrays:
            known = ", ".join(self._arrays) or "none"
            raise ValueError(f"params: no parameter named {name!r}; the names are {known}")
        self._arrays[name] = as_parameter(name, value, self._arrays[name].shape, self._dtype)

    def touch(self) -> None:
        """The arrays have been changed in place. Nothing holds a copy of them."""

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"params: {name!r} cannot be deleted; a part's parameters are fixed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: {array.shape}" for name, array in self._arrays.items())
        return f"PartParams({{{shapes}}}, dtype={self._dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # as of a layer's: what copies and pickles are made of


class Part:
    """A part of a model that keeps no state between time steps.

    A part is called to go forward. `record` also returns a tape, whose `backward` gives the gradients, as a recurrent
    layer's does. What acts in training only (dropout) acts in `record`.

    Attributes:
        dtype: numpy.dtype of parameters, inputs and outputs.
        params: the parameters by name.
    """

    dtype: np.dtype[Any]
    params: MutableMapping[str, Array]

    def __init__(self, arrays: Mapping[str, Array], dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.params = PartParams({name: array.astype(dtype) for name, array in arrays.items()}, dtype)

    def __call__(self, x: Array) -> Array:
        """y of x."""
        raise NotImplementedError

    def record(self, x: Array) -> tuple[Array, PartTape]:
        """y of x in training, and the tape for its backward pass."""
        raise NotImplementedError

    @property
    def num_params(self) -> int:
        """How many free parameters there are."""
        return sum(array.size for array in self.params.values())

    def load_params(self, mapping: Mapping[str, object]) -> None:
        """Copy the values of `mapping` into the parameters, every one by name and no other.

        Raises:
            ValueError: a name is missing or unexpected, or a shape is wrong.
            TypeError: a value is not an array of floats.

        After an error no parameter has changed.
        """
        load_into(self.params, mapping, self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "params": dict(self.params)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.params = PartParams(state["params"], self.dtype)

    def _repr(self, *options: str) -> str:
        shown = [option for option in options if option]
        if self.dtype != np.float32:
            shown.append(f"dtype={self.dtype}")
        return f"{type(self).__name__}({', '.join(shown)})"


class PartTape:
    """What `record` kept of one call of a part. Good for one `backward`."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used = False

    def backward(self, dy: Array) -> Gradients[None]:
        """The gradients of x and of the parameters, given that of y, in its shape and dtype.

        Raises:
            ValueError: the tape has been used, or dy has another shape than y.
            TypeError: dy has another dtype than y.
        """
        if self._used:
            raise used_up()
        gradients = self._backward(dy)
        self._used = True
        return gradients

    def _backward(self, dy: Array) -> Gradients[None]:
        raise NotImplementedError

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: cannot be copied or pickled; it is good for one backward pass")


def used_up() -> ValueError:
    """The error of a second backward pass."""
    return ValueError("tape: expected one not used yet, got one whose backward has run; record again")


def load_into(params: MutableMapping[str, Array], mapping: Mapping[str, object], dtype: np.dtype[Any]) -> None:
    """Copy every value of `mapping` into the arrays of `params`, after all of it has been checked."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"mapping: expected a mapping of names to arrays, got {_checks.describe(mapping)}")
    missing = [name for name in params if name not in mapping]
    unexpected = [str(name) for name in mapping if name not in params]
    if missing or unexpected:
        raise ValueError(
            "mapping: expected exactly the parameters of this model"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; unexpected: {', '.join(unexpected)}" if unexpected else "")
        )
    values = {name: as_parameter(name, mapping[name], array.shape, dtype).copy() for name, array in params.items()}
    # As a layer's: arrays are written in place, except one that cannot be, or could not hold two parameters' values.
    held = dict(params)
    for name, value in values.items():
        array = held[name]
        if takes(array, value) and not overlaps_another(name, array, held):
            array[...] = value
        else:
            params[name] = value


def floats(name: str, value: object, dtype: np.dtype[Any], width: int | None = None) -> Array:
    """`value` as an array of `dtype` whose last axis has `width` values."""
    array = np.asarray(_checks.array(name, value))  # no subclass
    if array.dtype != dtype:
        raise TypeError(f'{name}: expected dtype {dtype}, got {array.dtype}; .astype("{dtype}") converts it')
    if width is not None and (array.ndim < 1 or array.shape[-1] != width):
        raise ValueError(f"{name}: expected shape (…, {width}), got {array.shape}")
    return array


def like(name: str, value: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`value` as an array of that shape and dtype: the gradient of an output."""
    array = floats(name, value, dtype)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array


def integers(name: str, value: object) -> Array:
    """`value` as an array of int64: tokens or classes."""
    array = _checks.as_array(name, value, "integers")
    if array.dtype.kind not in "iu" and not (array.size == 0 and isinstance(value, (list, tuple))):
        raise TypeError(f"{name}: expected integers, got {_checks.describe(value)}")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: expected integers that fit in int64, got {int(array.max())}")
    return array.astype(np.int64, copy=False)
