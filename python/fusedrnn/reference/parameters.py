"""Names, shapes, initial values and number of the parameters: docs/design/cells.md, section 9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Array
from .cells import Weights

FloatType: TypeAlias = "np.dtype[np.float32] | np.dtype[np.float64]"


@dataclass(frozen=True)
class Sizes:
    """What determines the shape of every parameter."""

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    directions: int
    proj_size: int
    gates: int
    joint_biases: int

    @property
    def output_size(self) -> int:
        """Width of h, of one direction."""
        return self.proj_size or self.hidden_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's name and shape, in torch.nn's order."""
        shapes: dict[str, tuple[int, ...]] = {}
        rows = self.gates * self.hidden_size
        for layer in range(self.num_layers):
            width = self.input_size if layer == 0 else self.output_size * self.directions
            for direction in range(self.directions):
                suffix = suffix_of(layer, direction)
                shapes["weight_ih" + suffix] = (rows, width)
                shapes["weight_hh" + suffix] = (rows, self.output_size)
                if self.bias:
                    shapes["bias_ih" + suffix] = (rows,)
                    shapes["bias_hh" + suffix] = (rows,)
                if self.proj_size:
                    shapes["weight_hr" + suffix] = (self.proj_size, self.hidden_size)
        return shapes

    def count(self) -> int:
        """Free parameters: biases that only ever appear as a sum count once, (N1)."""
        stored = sum(int(np.prod(shape)) for shape in self.shapes().values())
        twice = self.joint_biases * self.hidden_size * self.num_layers * self.directions
        return stored - twice if self.bias else stored

    def draw(self, rng: np.random.Generator, dtype: FloatType) -> dict[str, Array]:
        """Initial values as torch.nn draws them: uniform within 1 / sqrt(hidden_size) of zero, (N2)."""
        bound = self.hidden_size**-0.5
        return {name: rng.uniform(-bound, bound, shape).astype(dtype) for name, shape in self.shapes().items()}

    def check(self, name: str, value: object, dtype: FloatType) -> Array:
        """``value`` as a fresh array for parameter ``name``, or a ValueError about its shape or contents."""
        shape = self.shapes()[name]
        array = as_array(value, name, dtype)
        if array.shape != shape:
            raise ValueError(f"parameter {name}: expected shape {shape}, got {array.shape}")
        fresh: Array = array.copy()
        return fresh

    def direction(self, params: dict[str, Array], layer: int, direction: int, dtype: FloatType) -> Weights:
        """The parameters of one direction of one layer, without its suffix; a layer without biases gets zero ones."""
        suffix = suffix_of(layer, direction)
        rows = self.gates * self.hidden_size
        zero = {} if self.bias else {"bias_ih": np.zeros(rows, dtype), "bias_hh": np.zeros(rows, dtype)}
        stems = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return zero | {stem: params[stem + suffix] for stem in stems if stem + suffix in params}


def suffix_of(layer: int, direction: int) -> str:
    """What follows ``weight_ih`` in torch's name: ``_l0``, ``_l0_reverse``, ``_l1``, ..."""
    return f"_l{layer}_reverse" if direction else f"_l{layer}"


def as_array(value: object, name: str, dtype: npt.DTypeLike) -> npt.NDArray[np.floating]:
    """``value`` as real numbers of type ``dtype``."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: not an array ({error})") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected an array of real numbers, got dtype {array.dtype}")
    return array.astype(dtype, copy=False)


def check_names(found: set[str], expected: list[str]) -> None:
    """ValueError unless exactly the expected parameter names are there."""
    missing, unknown = sorted(set(expected) - found), sorted(found - set(expected))
    if missing or unknown:
        raise ValueError(f"parameter names: missing {missing}, unknown {unknown}; expected {expected}")
