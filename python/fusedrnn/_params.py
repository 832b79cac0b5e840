"""The parameters of a network by name: their shapes, initial values, and the mapping that a layer shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fusedrnn._checks import Array, describe


class Network(Protocol):
    """What keeps the arrays of a module's parameters: the core's plain network, or one of `fusedrnn._general`."""

    @property
    def param_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of every parameter, in order."""

    @property
    def params(self) -> list[Array]:
        """The arrays that `bind` was given last."""

    def bind(self, params: Sequence[Array]) -> None:
        """Use these arrays from now on."""

    def bind_one(self, index: int, param: Array) -> None:
        """Use another array for one parameter."""

    def freeze(self, frozen: bool = True) -> None: ...

    @property
    def frozen(self) -> bool: ...

    def touch(self) -> None:
        """Tell the streams that the arrays have changed in place."""


CONSTANTS = {"gain": 1.0, "shift": 0.0, "initial": 0.0, "bias_highway": -1.0}
"""What parameters whose names begin so are at first: a normalisation and a learned state that change nothing, and a
highway that passes on most of x (Srivastava et al. 2015)."""


def parameter_shapes(network: Network, suffix: str) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter by the core's name without `suffix`."""
    return {name.removesuffix(suffix): tuple(shape) for name, shape in network.param_shapes}


def drawn(
    shapes: Mapping[str, tuple[int, ...]], hidden_size: int, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Initial values from U(-k, k), k = 1/sqrt(hidden_size), as torch.nn has them, but for those of `CONSTANTS`.

    In float64, to be rounded: one seed gives a float32 and a float64 layer the same weights.
    """
    bound = 1.0 / float(np.sqrt(hidden_size))
    constant = {name: value for name in shapes for start, value in CONSTANTS.items() if name.startswith(start)}
    return {
        name: np.full(shape, constant[name]) if name in constant else rng.uniform(-bound, bound, shape)
        for name, shape in shapes.items()
    }


def as_parameter(name: str, value: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """`value` as the core can read it: the very array when it can, a converted copy otherwise."""
    try:
        array: Array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name}: expected an array of floats, got {describe(value)} ({error})") from None
    if array.dtype.kind != "f":
        got = describe(value if array.dtype == object else array)
        raise TypeError(f"{name}: expected an array of floats, got {got}")
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


class Params(MutableMapping[str, Array]):
    """The named parameters of one layer or cell: plain arrays, in a fixed order, under fixed names.

    Change an array in place, or assign a new one; the next call uses it. An assigned array is kept as it is, not
    copied, when it has the layer's dtype, is C-contiguous and aligned; otherwise a converted copy is kept. Only
    `load_params` writes into it. Names can be neither added nor deleted.

    `copy.deepcopy(params)` is a snapshot: a dict of copies. A shallow copy is a dict of these arrays.
    """

    # Only the core keeps the arrays: so what is shown here is what it computes with, also after an interruption.
    __slots__ = ("_dtype", "_network", "_shapes")

    def __init__(
        self,
        network: Network,
        shapes: Mapping[str, tuple[int, ...]],
        dtype: np.dtype[Any],
        values: Mapping[str, object],
    ) -> None:
        self._network = network
        self._shapes = dict(shapes)
        self._dtype = dtype
        network.bind([as_parameter(name, values[name], shape, dtype) for name, shape in shapes.items()])

    def _arrays(self) -> dict[str, Array]:
        return dict(zip(self._shapes, self._network.params, strict=True))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter by name."""
        return dict(self._shapes)

    def __getitem__(self, name: str) -> Array:
        return self._arrays()[name]

    def __setitem__(self, name: str, value: object) -> None:
        shape = self._shapes.get(name)
        if shape is None:
            raise ValueError(f"params: no parameter named {name!r}; the names are {', '.join(self._shapes)}")
        self._check_not_frozen()
        array = as_parameter(name, value, shape, self._dtype)
        self._network.bind_one(list(self._shapes).index(name), array)

    def freeze(self) -> None:
        """Make the arrays read-only; see `Module.freeze`."""
        self._network.bind([array if array.base is None else array.copy() for array in self._network.params])
        for array in self._network.params:
            array.flags.writeable = False
        self._network.freeze()

    def unfreeze(self) -> None:
        """Make the arrays writeable again."""
        if self._network.frozen:
            self._network.bind([array.copy() for array in self._network.params])

    def _check_not_frozen(self) -> None:
        if self._network.frozen:
            raise ValueError("params: frozen, they cannot be changed; unfreeze() the module first")

    def touch(self) -> None:
        """Tell streams of the layer that the arrays have been changed in place."""
        self._network.touch()

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"params: {name!r} cannot be deleted; a layer's parameters are fixed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: {shape}" for name, shape in self._shapes.items())
        return f"Params({{{shapes}}}, dtype={self._dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles are dicts: another Params would be a second view of one network, soon out of step.
        return dict, (dict(self),)

    def load(self, mapping: Mapping[str, object]) -> None:
        """Copy every value of `mapping` in; see `Module.load_params`."""
        if not isinstance(mapping, Mapping):
            raise TypeError(f"mapping: expected a mapping of names to arrays, got {describe(mapping)}")
        self._check_not_frozen()
        names = list(mapping)
        missing = [name for name in self._shapes if name not in names]
        unexpected = [name for name in names if name not in self._shapes]
        if missing or unexpected:
            raise ValueError(
                "mapping: expected exactly the parameters of this layer"
                + (f"; missing: {', '.join(missing)}" if missing else "")
                + (f"; unexpected: {', '.join(map(str, unexpected))}" if unexpected else "")
            )
        # Copied before anything is written: the values may be views of the arrays they are loaded into.
        values = {
            name: as_parameter(name, mapping[name], shape, self._dtype).copy() for name, shape in self._shapes.items()
        }
        # Arrays are written in place, so that references to them (an optimiser's) stay good. One that cannot be,
        # or that overlaps another parameter's and could not hold both values, gives way to the fresh copy.
        held = self._arrays()
        kept = {
            name: array if takes(array, values[name]) and not overlaps_another(name, array, held) else values[name]
            for name, array in held.items()
        }
        self._network.bind(list(kept.values()))  # what can fail, before the first is written
        for name, array in kept.items():
            if array is not values[name]:
                array[...] = values[name]


def takes(array: Array, value: Array) -> bool:
    """Whether `array` can be written and still has its shape and dtype, which a caller can set in place."""
    return bool(
        array.flags.writeable and array.flags.c_contiguous and array.shape == value.shape and array.dtype == value.dtype
    )


def overlaps_another(name: str, array: Array, held: Mapping[str, Array]) -> bool:
    return any(other != name and np.may_share_memory(array, value) for other, value in held.items())
