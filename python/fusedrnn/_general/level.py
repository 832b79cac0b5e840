"""One layer in its directions: by a plain network of the core where that computes it, else by its general cell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _core
from fusedrnn._checks import Array
from fusedrnn._general.dilation import Chains
from fusedrnn._general.draws import LevelDraws, zoneouts
from fusedrnn._general.level_tape import LevelTape, PlainTape, StagedDirectionTape, StagedTape
from fusedrnn._general.spec import Spec
from fusedrnn._options import ENGINE, choices_of


class Batch(NamedTuple):
    """Sizes of a call, and which steps count."""

    steps: int
    rows: int
    lengths: NDArray[np.int64] | None
    reset: NDArray[np.bool_] | None


class LevelResult(NamedTuple):
    """y (T, B, D·P), h_n (D, B, P), c_n (D, B, H), cells (T, B, D·H), and the tape if it is kept."""

    y: Array
    h: Array
    c: Array | None
    cells: Array | None
    tape: LevelTape | None


class Level:
    """One layer of a general network: its parameters' shapes, and how it runs."""

    def __init__(self, spec: Spec, index: int) -> None:
        self.spec, self.index, self.width = spec, index, spec.width(index)
        self.plain = spec.plain(self.width, 1) if spec.plain_cell else None
        self.staged = [_staged(spec, self.width, direction) for direction in range(spec.directions)]
        self._looked: int | None = None  # the version of the parameters that the general cells have packed
        initial = list(zip(("initial_h", "initial_c"), ((width,) for width in spec.widths), strict=False))
        self.names = [
            [*((name, tuple(shape)) for name, shape in one.param_shapes), *(initial if self._learned else [])]
            for one in self.staged
        ]

    @property
    def _learned(self) -> bool:
        return bool(self.spec.options["learned_state"])

    @property
    def shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of every parameter, direction by direction."""
        return [
            (f"{name}_l{self.index}{'_reverse' if direction else ''}", shape)
            for direction, names in enumerate(self.names)
            for name, shape in names
        ]

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """Of weight_hh."""
        found: tuple[int, ...] = dict(self.names[0])["weight_hh"]
        return found

    def by_direction(self, params: list[Array]) -> list[dict[str, Array]]:
        """The parameters of each direction by name, without layer and direction."""
        found, rest = [], iter(params)
        for names in self.names:
            found.append({name: next(rest) for name, _ in names})
        return found

    def stepper(self, params: list[Array]) -> Callable[..., Any]:
        """The general cell of the one direction with these parameters: a function of x, h, c and `unchanged`.

        It gives y (T, B, P), h (B, P) and c (B, H), and what a stream does not need.
        """
        (own,) = self.by_direction(params)
        for name in ("initial_h", "initial_c"):
            own.pop(name, None)
        zoneout_h, zoneout_c = zoneouts(self.spec)
        zoneout: dict[str, Any] = {"zoneout_h": zoneout_h, "zoneout_c": zoneout_c if self.spec.has_cell else 0.0}
        return partial(self.staged[0].forward, own, **zoneout)

    def run(
        self,
        params: list[Array],
        x: Array,
        state: tuple[Array | None, Array | None],
        batch: Batch,
        draws: LevelDraws | None,
        *,
        keep: bool = False,
        cells: bool = False,
        version: int | None = None,
    ) -> LevelResult:
        """Run the layer.

        Args:
            params: in the order of `shapes`.
            x: (T, B, I).
            state: h0 (D, B, P) and c0 (D, B, H); None for the learned state, or zeros.
            draws: the masks of a recorded call; None in another.
            keep: whether to keep a tape.
            cells: whether c of every step is wanted.
            version: a number that is another one where the parameters may have changed; None to look whether they have.
        """
        if draws is not None and draws.x is not None:
            x = x * draws.x
        chains = None
        if self.spec.dilation(self.index) > 1:
            chains = Chains(self.spec.dilation(self.index), *batch)
            x, batch = chains.fold(x), Batch(chains.chain_steps, chains.d * batch.rows, chains.lengths, chains.reset)
        random = draws is not None and any(one.h is not None or one.weight is not None for one in draws.directions)
        if self.plain is not None and not random:
            found = self._run_plain(x, state, batch, keep, cells)
        else:
            found = self._run_staged(params, x, state, batch, draws, chains, cells, keep, version)
        if chains is not None:
            found = self._unfolded(found, chains)
        if found.tape is not None:
            found.tape.chains, found.tape.x_mask = chains, None if draws is None else draws.x
        return found

    def _unfolded(self, found: LevelResult, chains: Chains) -> LevelResult:
        y, h, c, cells, tape = found
        ends = [self.spec.reverse(direction) for direction in range(self.spec.directions)]
        h = np.stack([chains.final(part, end) for part, end in zip(h, ends, strict=True)])
        c = None if c is None else np.stack([chains.final(part, end) for part, end in zip(c, ends, strict=True)])
        return LevelResult(chains.unfold(y), h, c, None if cells is None else chains.unfold(cells), tape)

    def _run_plain(
        self, x: Array, state: tuple[Array | None, Array | None], batch: Batch, keep: bool, cells: bool
    ) -> LevelResult:
        assert self.plain is not None
        options: dict[str, Any] = {"lengths": batch.lengths, "reset": batch.reset, "return_cell": cells}
        if not keep:
            y, h, c, all_c = self.plain.forward(x, *state, **options)
            return LevelResult(y, h, c, all_c, None)
        y, h, c, all_c, tape = self.plain.record(x, *state, **options)
        return LevelResult(y, h, c, all_c, PlainTape(self.spec, tape))

    def _run_staged(
        self,
        params: list[Array],
        x: Array,
        state: tuple[Array | None, Array | None],
        batch: Batch,
        draws: LevelDraws | None,
        chains: Chains | None,
        cells: bool,
        keep: bool,
        version: int | None,
    ) -> LevelResult:
        x = np.ascontiguousarray(x)
        results, tapes = [], []
        unchanged = version is not None and version == self._looked
        for direction, (layer, own) in enumerate(zip(self.staged, self.by_direction(params), strict=True)):
            zoneout: tuple[Any, ...] = zoneouts(self.spec)
            weight = h_mask = None
            if draws is not None:
                drawn = draws.directions[direction]
                zoneout, weight, h_mask = drawn.zoneout, drawn.weight, drawn.h
                if chains is not None:
                    zoneout = tuple(chains.fold(one) if isinstance(one, np.ndarray) else one for one in zoneout)
                    h_mask = None if h_mask is None else chains.repeat(h_mask)
            if weight is not None:  # by another layer: this one's packed weights stay
                layer, own = (
                    _staged(self.spec, self.width, direction),
                    own | {"weight_hh": own["weight_hh"] * weight},
                )
            initial = [own.pop(name, None) for name in ("initial_h", "initial_c")]
            begins = [
                _beginning(part, direction, learned, batch.rows) for part, learned in zip(state, initial, strict=True)
            ]
            y, h, c, all_c, tape = layer.forward(
                own,
                x,
                *begins,
                lengths=batch.lengths,
                reset=batch.reset,
                reverse=self.spec.reverse(direction),
                h_mask=h_mask,
                zoneout_h=zoneout[0],
                zoneout_c=zoneout[1] if self.spec.has_cell else 0.0,
                initial_h=initial[0],
                initial_c=initial[1],
                cells=cells,
                keep=keep,
                unchanged=unchanged and weight is None,
            )
            results.append((y, h, c, all_c))
            tapes.append(StagedDirectionTape(tape, weight, self._learned, [part is None for part in state]))
        if version is not None and weight is None:
            self._looked = version
        return _joined(results)._replace(tape=StagedTape(self.spec, tapes) if keep else None)


def _staged(spec: Spec, width: int, direction: int) -> _core.StagedLayer:
    """The general cell of one direction."""
    o = spec.options
    given = {name: o[name] for name in ENGINE if name in o and o[name] is not None}
    return _core.StagedLayer(
        spec.cell,
        width,
        spec.hidden_size,
        bias=spec.bias,
        proj_size=spec.proj_size,
        dtype=spec.dtype.name,
        activations=choices_of(spec.cell, o, direction),
        **given,
    )


def _beginning(part: Array | None, direction: int, learned: Array | None, rows: int) -> Array | None:
    """The state that one direction begins with; None for zeros."""
    if part is not None:
        return np.ascontiguousarray(part[direction])
    return None if learned is None else np.tile(learned, (rows, 1))


def _joined(results: list[Any]) -> LevelResult:
    """The directions' y and cells side by side, their states one after the other."""
    y, h, c, cells = zip(*results, strict=True)
    if len(results) == 1:
        return LevelResult(y[0], h[0][np.newaxis], None if c[0] is None else c[0][np.newaxis], cells[0], None)
    with_cell = c[0] is not None
    return LevelResult(
        np.concatenate(y, axis=-1),
        np.stack(h),
        np.stack(c) if with_cell else None,
        None if cells[0] is None else np.concatenate(cells, axis=-1),
        None,
    )
