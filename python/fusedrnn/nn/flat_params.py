"""The parameters of several parts under one mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from fusedrnn._checks import Array


class FlatParams(MutableMapping[str, Array]):
    """The parameters of all parts, each name with its part's name and a dot before it."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = parts

    def _place(self, name: str) -> tuple[Any, str]:
        of, _, rest = str(name).partition(".")
        if of in self._parts:
            params = self._parts[of].params
            if rest in params:
                return params, rest
        raise KeyError(name)

    def __getitem__(self, name: str) -> Array:
        params, own = self._place(name)
        array: Array = params[own]
        return array

    def __setitem__(self, name: str, value: object) -> None:
        try:
            params, own = self._place(name)
        except KeyError:
            raise ValueError(f"params: no parameter named {name!r}; the names are {', '.join(self)}") from None
        params[own] = value

    def touch(self) -> None:
        """Tell streams of the parts that the arrays have been changed in place."""
        for part in self._parts.values():
            part.params.touch()

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"params: {name!r} cannot be deleted; a model's parameters are fixed")

    def __iter__(self) -> Iterator[str]:
        for of, part in self._parts.items():
            for name in part.params:
                yield f"{of}.{name}"

    def __len__(self) -> int:
        return sum(len(part.params) for part in self._parts.values())

    def __repr__(self) -> str:
        return f"Params({{{', '.join(f'{name!r}: {array.shape}' for name, array in self.items())}}})"

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
