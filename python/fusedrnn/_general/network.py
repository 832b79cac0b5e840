"""The whole stack of a general network, with the interface that layers use of the core's plain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusedrnn._checks import Array
from fusedrnn._general.arguments import Arguments, checked
from fusedrnn._general.connections import Highway
from fusedrnn._general.draws import draw
from fusedrnn._general.level import Level
from fusedrnn._general.spec import Spec
from fusedrnn._general.stream import GeneralStream
from fusedrnn._general.tape import GeneralTape, Kept, KeptHighway
from fusedrnn._merging import merged


class GeneralNetwork:
    """A stack of layers that runs layer by layer.

    As `_core.Network`, and `forward` and `record` take two more arguments: `layers`, a list that every layer's y is put
    into, and `merged`, False for the y and the layers of two directions side by side whatever `merge` is.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._levels = [Level(spec, index) for index in range(spec.num_layers)]
        highway = spec.options["connection"] == "highway"
        self._highways = [
            Highway(spec.features, spec.dtype.name) if highway and index else None for index in range(spec.num_layers)
        ]
        self._whole = spec.plain(spec.input_size, spec.num_layers) if spec.plain_call else None
        self._params: list[Array] = []
        self.version = 0  # counts what streams must take notice of
        self._frozen = False

    @property
    def param_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of every parameter, in the order of `bind` and the gradients."""
        found = []
        for level, highway in zip(self._levels, self._highways, strict=True):
            found += level.shapes
            if highway is not None:
                found += [(f"{name}_l{level.index}", shape) for name, shape in highway.shapes]
        return found

    @property
    def params(self) -> list[Array]:
        """The arrays that `bind` was given last."""
        return list(self._params)

    def bind(self, params: Sequence[Array]) -> None:
        """Use these arrays from now on; a change in place is noticed by the next call."""
        held = list(params)
        if self._whole is not None:
            self._whole.bind(held)
        for level, own, _ in self._with_params(held):
            if level.plain is not None:
                level.plain.bind(own[: len(level.plain.param_shapes)])
        self._params = held
        self.version += 1
        self._frozen = False

    def bind_one(self, index: int, param: Array) -> None:
        """Use another array for one parameter; all others stay."""
        held = list(self._params)
        held[index] = param
        self.bind(held)

    def touch(self) -> None:
        """Tell the streams that the parameters have changed in place."""
        self.version += 1
        for plain in self._plain():
            plain.touch()

    def freeze(self, frozen: bool = True) -> None:
        """While frozen, calls do not look whether the parameters have changed. `bind` and `bind_one` end it."""
        for plain in self._plain():
            plain.freeze(frozen)
        self.version += 1
        self._frozen = frozen

    @property
    def frozen(self) -> bool:
        """Whether the network is frozen."""
        return self._frozen

    def _plain(self) -> list[Any]:
        """The core's plain networks in it."""
        return [one for one in (self._whole, *(level.plain for level in self._levels)) if one is not None]

    def levels(self) -> list[tuple[Level, list[Array], list[Array]]]:
        """Every layer with its parameters, and those of its highway."""
        return self._with_params(self._params)

    def _with_params(self, params: list[Array]) -> list[tuple[Level, list[Array], list[Array]]]:
        found, at = [], 0
        for level, highway in zip(self._levels, self._highways, strict=True):
            middle = at + len(level.shapes)
            end = middle + (0 if highway is None else 2)
            found.append((level, params[at:middle], params[middle:end]))
            at = end
        return found

    def forward(
        self,
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        *,
        lengths: NDArray[np.int64] | None = None,
        reset: NDArray[np.bool_] | None = None,
        batch_first: bool = False,
        return_cell: bool = False,
        table: Array | None = None,
        layers: list[Array] | None = None,
        merged: bool = True,
    ) -> tuple[Array, Array, Array | None, Array | None]:
        """As `_core.Network.forward`."""
        if self._whole is not None and layers is None:
            return self._whole.forward(
                x, h0, c0, lengths=lengths, reset=reset, batch_first=batch_first, return_cell=return_cell, table=table
            )
        arguments = checked(self.spec, x, h0, c0, lengths, reset, batch_first, table)
        return self._run(arguments, batch_first, return_cell, layers, merged, None, None)

    def record(
        self,
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        *,
        lengths: NDArray[np.int64] | None = None,
        reset: NDArray[np.bool_] | None = None,
        batch_first: bool = False,
        return_cell: bool = False,
        dropout_masks: Sequence[Array] | None = None,
        checkpoint: int = 0,
        table: Array | None = None,
        layers: list[Array] | None = None,
        merged: bool = True,
        rng: np.random.Generator | None = None,
    ) -> tuple[Array, Array, Array | None, Array | None, GeneralTape]:
        """As `_core.Network.record`; the masks of options are drawn from `rng`."""
        if checkpoint:
            raise ValueError("checkpoint: expected None with return_layers=True or a layer that has options")
        arguments = checked(self.spec, x, h0, c0, lengths, reset, batch_first, table)
        kept = Kept(self.spec, arguments, list(dropout_masks or ()), batch_first, merged, layers is not None)
        found = self._run(arguments, batch_first, return_cell, layers, merged, kept, rng)
        return (*found, GeneralTape(kept))

    def _run(
        self,
        arguments: Arguments,
        batch_first: bool,
        return_cell: bool,
        layers: list[Array] | None,
        merge: bool,
        kept: Kept | None,
        rng: np.random.Generator | None,
    ) -> tuple[Array, Array, Array | None, Array | None]:
        spec, batch = self.spec, arguments.batch
        x, y, states, outputs = arguments.x, arguments.x, [], []
        levels = self.levels()
        version = self.version if self._frozen else None
        draws = (
            [draw(rng, spec, level.index, level.recurrent_shape, batch.steps, batch.rows) for level, _, _ in levels]
            if kept is not None and rng is not None
            else [None] * len(levels)
        )
        for (level, params, around), drawn in zip(levels, draws, strict=True):
            if level.index and kept is not None and kept.dropout:
                x = y * kept.dropout[level.index - 1]  # (D3)
            elif level.index:
                x = y
            at = slice(level.index * spec.directions, (level.index + 1) * spec.directions)
            state = tuple(None if part is None else part[at] for part in (arguments.h0, arguments.c0))
            wants_cells = return_cell and level.index == spec.num_layers - 1
            found = level.run(
                params,
                x,
                (state[0], state[1]),
                batch,
                drawn,
                keep=kept is not None,
                cells=wants_cells,
                version=version,
            )
            inner = merged(spec.options["merge"], found.y)
            y, gate = self.connected(level.index, around, x, inner)
            states.append(found)
            outputs.append(y if merge else found.y)
            if kept is not None:
                highway = self._highways[level.index]
                own = [array.copy() for array in around]
                kept.add(found, None if highway is None or gate is None else KeptHighway(highway, own, gate, x, inner))
        lay = _laid_out(batch_first)
        if layers is not None:
            shared = kept is not None and spec.options["connection"] == "highway"  # its tape keeps the y below it
            layers[:] = [lay(one.copy() if shared else one) for one in outputs]
        h = np.concatenate([found.h for found in states])
        c = np.concatenate([found.c for found in states if found.c is not None]) if spec.has_cell else None
        cells = states[-1].cells if return_cell else None
        return lay(outputs[-1]), h, c, None if cells is None else lay(cells)

    def connected(self, index: int, around: list[Array], x: Array, inner: Array) -> tuple[Array, Array | None]:
        """The output of a layer with its connection, given its x and what it gives by itself; the highway's gate."""
        highway = self._highways[index]
        if highway is not None:
            gate = highway.gate(around, x)
            return highway.forward(gate, x, inner), gate
        return (inner + x, None) if index and self.spec.options["connection"] == "residual" else (inner, None)

    def stream(self, batch_size: int, table: Array | None = None, tokens: bool = False) -> Any:
        """A stream with the interface of `_core.Stream`."""
        if self._whole is not None:
            return self._whole.stream(batch_size, table, tokens)
        return GeneralStream(self, batch_size, table, tokens)

    def first_state(self, rows: int) -> tuple[Array, Array | None]:
        """The state that a call without one begins with."""
        spec = self.spec
        count = spec.num_layers * spec.directions
        found = [np.zeros((count, rows, width), spec.dtype) for width in spec.widths]
        if spec.options["learned_state"]:
            for level, params, _ in self.levels():
                for direction, own in enumerate(level.by_direction(params)):
                    for part, name in zip(found, ("initial_h", "initial_c"), strict=False):
                        part[level.index * spec.directions + direction] = own[name]
        return found[0], found[1] if spec.has_cell else None


def _laid_out(batch_first: bool) -> Any:
    return (lambda a: np.ascontiguousarray(a.swapaxes(0, 1))) if batch_first else (lambda a: a)
