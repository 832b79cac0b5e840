"""What every optimiser shares: the parameters it changes, what it remembers of them, its state as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusedrnn import _checks, _core
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients


class Optimiser:
    """Changes parameters in place, along their gradients.

    Attributes:
        params: the mapping that the constructor was given.
        lr: the learning rate; may be assigned between steps, as a schedule does.
        steps: how many updates it has made.
    """

    _rule: str
    _kept: tuple[str, ...] = ()
    """Which running means the rule has: "first", "second"."""

    def __init__(self, params: Mapping[str, Array], lr: float) -> None:
        if not isinstance(params, Mapping):
            raise TypeError(f"params: expected a mapping of names to arrays, got {_checks.describe(params)}")
        if not params:
            raise ValueError("params: expected at least one parameter, got none")
        for name, array in params.items():
            if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
                raise TypeError(f"params: expected arrays of float32 or float64, {name!r} is {_checks.describe(array)}")
        self.params = params
        self.lr = not_negative("lr", lr)
        self.steps = 0
        self._memory = {kept: {name: np.zeros_like(array) for name, array in params.items()} for kept in self._kept}

    def step(self, gradients: Mapping[str, Array] | Gradients[Any], *, scale: float = 1.0) -> None:
        """One update of all parameters.

        Args:
            gradients: one of every parameter by name, or what `tape.backward` returned.
            scale: every gradient is multiplied by it first: clipping without a pass of its own.

        Raises:
            ValueError: a name is missing, a shape is wrong, or a parameter cannot be changed in place.
            TypeError: a dtype is wrong.

        After an error nothing has changed.
        """
        found = by_name(gradients)
        names = list(self.params)
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"gradients: expected one of every parameter; missing: {', '.join(missing)}")
        params = [self.params[name] for name in names]
        wanted = [found[name] for name in names]
        for name, param, gradient in zip(names, params, wanted, strict=True):
            self._check(name, param, gradient)
        lists = [[self._memory[kept][name] for name in names] if kept in self._kept else None for kept in KEPT]
        options = self._options(self.steps + 1)
        for dtype in {param.dtype for param in params}:
            chosen = [i for i, param in enumerate(params) if param.dtype == dtype]
            first, second = ([kept[i] for i in chosen] if kept else None for kept in lists)
            _core.update(
                self._rule,
                [params[i] for i in chosen],
                [wanted[i] for i in chosen],
                first,
                second,
                scale=scale,
                **options,
            )
        self.steps += 1

    def _check(self, name: str, param: Array, gradient: object) -> None:
        if not isinstance(gradient, np.ndarray):
            raise TypeError(f"gradients: expected arrays, {name!r} is {_checks.describe(gradient)}")
        if gradient.shape != param.shape:
            raise ValueError(f"gradients: expected shape {param.shape} of {name!r}, got {gradient.shape}")
        if gradient.dtype != param.dtype:
            raise TypeError(f"gradients: expected dtype {param.dtype} of {name!r}, got {gradient.dtype}")
        if not (param.flags.writeable and param.flags.c_contiguous and param.flags.aligned):
            raise ValueError(f"params: expected C-contiguous arrays that can be written, {name!r} is not")

    def _options(self, step: int) -> dict[str, Any]:
        """The numbers of update number `step`, counted from 1."""
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """Everything that the next step depends on beside the parameters, as arrays by name: copies, to be saved."""
        arrays = {"steps": np.asarray(self.steps), "lr": np.asarray(self.lr)}
        for kept, memory in self._memory.items():
            arrays.update({f"{kept}.{name}": array.copy() for name, array in memory.items()})
        return arrays

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on where the optimiser was whose `state()` this is.

        Raises:
            ValueError: a name is missing, or a shape is wrong. Nothing has changed then.
        """
        memory: dict[str, dict[str, Array]] = {kept: {} for kept in self._kept}
        for kept in self._kept:
            for name, array in self._memory[kept].items():
                value = state.get(f"{kept}.{name}")
                if value is None or value.shape != array.shape:
                    got = "nothing" if value is None else f"shape {value.shape}"
                    raise ValueError(f"state: expected {kept}.{name} of shape {array.shape}, got {got}")
                memory[kept][name] = value.astype(array.dtype)
        for name in ("steps", "lr"):
            if name not in state:
                raise ValueError(f"state: expected {name}, got nothing")
        self._memory = memory
        self.steps, self.lr = int(state["steps"]), float(state["lr"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.params)} parameters, lr={self.lr:g}, steps={self.steps})"


KEPT = ("first", "second")


def by_name(gradients: Mapping[str, Array] | Gradients[Any]) -> Mapping[str, Array]:
    """Gradients of parameters as a mapping."""
    found = gradients.params if isinstance(gradients, Gradients) else gradients
    if not isinstance(found, Mapping):
        raise TypeError(f"gradients: expected a mapping or Gradients, got {_checks.describe(gradients)}")
    return found


def not_negative(name: str, value: object) -> float:
    """`value` as a finite number of at least 0."""
    return _number(name, value, 0.0, np.inf, "of at least 0")


def below_one(name: str, value: object) -> float:
    """`value` as a number in [0, 1)."""
    return _number(name, value, 0.0, 1.0, "from 0 to below 1")


def _number(name: str, value: object, minimum: float, end: float, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number {expected}, got {_checks.shown(value)}")
    if not minimum <= value < end:
        raise ValueError(f"{name}: expected a finite number {expected}, got {_checks.shown(value)}")
    return float(value)
