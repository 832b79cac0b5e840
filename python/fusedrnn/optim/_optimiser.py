"""What every optimiser shares: the parameters it changes, what it remembers of them, its state as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
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
        self.lr = lr
        self.steps = 0
        self._memory = {
            kept: {name: np.zeros(array.shape, array.dtype) for name, array in params.items()} for kept in self._kept
        }
        self._known = {name: (array.shape, array.dtype) for name, array in params.items()}
        self._apart: list[Array] = []
        for name, array in params.items():
            self._check_param(name, array)
        self._require_apart(list(params), list(params.values()))

    @property
    def lr(self) -> float:
        """The learning rate, finite and not negative."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _checks.not_negative("lr", value)

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
        factor = _checks.not_negative("scale", scale)
        names = list(self.params)
        if set(names) != set(self._known):
            raise ValueError(f"params: expected the names the optimiser was made with, {', '.join(self._known)}")
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"gradients: expected one of every parameter; missing: {', '.join(missing)}")
        params = [self.params[name] for name in names]
        wanted = [found[name] for name in names]
        for name, param, gradient in zip(names, params, wanted, strict=True):
            self._check(name, param, gradient)
        self._require_apart(names, params)
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
                scale=factor,
                **options,
            )
        touch = getattr(self.params, "touch", None)  # streams take the new weights
        if touch is not None:
            touch()
        self.steps += 1

    def _require_apart(self, names: list[str], params: list[Array]) -> None:
        """No memory may be updated twice, by two threads at that."""
        if len(params) == len(self._apart) and all(a is b for a, b in zip(params, self._apart, strict=True)):
            return
        begins = [int(array.__array_interface__["data"][0]) for array in params]
        ranges = sorted(
            (begin, begin + array.nbytes, name) for begin, array, name in zip(begins, params, names, strict=True)
        )
        for (_, end, name), (begin, _, other) in pairwise(ranges):
            if begin < end:
                raise ValueError(
                    f"params: expected arrays that share no memory, {name!r} and {other!r} do; "
                    "Linear(..., tied_to=embedding) shares a weight"
                )
        self._apart = params

    def _check(self, name: str, param: Array, gradient: Array) -> None:
        if (param.shape, param.dtype) != self._known[name]:
            shape, dtype = self._known[name]
            raise ValueError(f"params: expected shape {shape} and dtype {dtype} of {name!r} as at the beginning")
        self._check_param(name, param)
        if gradient.shape != param.shape:
            raise ValueError(f"gradients: expected shape {param.shape} of {name!r}, got {gradient.shape}")
        if gradient.dtype != param.dtype:
            raise TypeError(f"gradients: expected dtype {param.dtype} of {name!r}, got {gradient.dtype}")

    @staticmethod
    def _check_param(name: str, param: Array) -> None:
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
            ValueError: a name is missing or unexpected, or a shape or a number is wrong.
            TypeError: not a mapping of names to arrays.

        After an error nothing has changed.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state: expected a mapping of names to arrays, got {_checks.describe(state)}")
        wanted = self.state()
        unexpected = [str(name) for name in state if name not in wanted]
        if unexpected:
            raise ValueError(f"state: expected that of {type(self).__name__}; unexpected: {', '.join(unexpected)}")
        for name, array in wanted.items():
            value = state.get(name)
            if value is None:
                raise ValueError(f"state: expected {name} of shape {array.shape}, got nothing")
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
                raise TypeError(f"state: expected arrays of numbers, {name!r} is {_checks.describe(value)}")
            if value.shape != array.shape:
                raise ValueError(f"state: expected {name} of shape {array.shape}, got shape {value.shape}")
        steps = _checks.integer("state: steps", state["steps"].item(), 0)
        lr = _checks.not_negative("state: lr", state["lr"].item())
        memory: dict[str, dict[str, Array]] = {kept: {} for kept in self._kept}
        for kept in self._kept:
            for name, array in self._memory[kept].items():
                memory[kept][name] = state[f"{kept}.{name}"].astype(array.dtype, order="C")
        self._memory, self.steps, self.lr = memory, steps, lr

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.params)} parameters, lr={self.lr:g}, steps={self.steps})"


KEPT = ("first", "second")


def by_name(gradients: Mapping[str, Array] | Gradients[Any]) -> Mapping[str, Array]:
    """Gradients of parameters as a mapping."""
    found = gradients.params if isinstance(gradients, Gradients) else gradients
    if not isinstance(found, Mapping):
        raise TypeError(f"gradients: expected a mapping or Gradients, got {_checks.describe(gradients)}")
    for name, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
            got = _checks.describe(array)
            raise TypeError(f"gradients: expected arrays of float32 or float64, {name!r} is {got}")
    return found


def below_one(name: str, value: object) -> float:
    """`value` as a number in [0, 1)."""
    return _checks.number(name, value, 0.0, 1.0, "from 0 to below 1")
