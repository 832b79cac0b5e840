"""The backward pass of one layer of a general network."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fusedrnn._checks import Array
from fusedrnn._general.dilation import Chains
from fusedrnn._general.spec import Spec


class LevelTape:
    """What one layer kept. `chains` and `x_mask` are set by `Level.run`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.chains: Chains | None = None
        self.x_mask: Array | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        raise NotImplementedError

    def _backward(
        self, dy: Array, dh: Array | None, dc: Array | None, truncate: int
    ) -> tuple[Array, Array, Array | None, list[Array]]:
        raise NotImplementedError

    def backward(
        self, dy: Array, dh: Array | None, dc: Array | None, truncate: int
    ) -> tuple[Array, Array, Array | None, list[Array]]:
        """dx, dh0, dc0 and the parameters' gradients in order, given those of y (T, B, D·P), h_n and c_n."""
        chains = self.chains
        if chains is not None:
            dy = chains.fold(dy)
            dh, dc = self._folded(chains, dh), self._folded(chains, dc)
        dx, dh0, dc0, params = self._backward(dy, dh, dc, truncate)
        if chains is not None:
            dx, dh0 = chains.unfold(dx), np.stack([chains.sum(part) for part in dh0])
            dc0 = None if dc0 is None else np.stack([chains.sum(part) for part in dc0])
        return (dx if self.x_mask is None else dx * self.x_mask), dh0, dc0, params

    def _folded(self, chains: Chains, dstate: Array | None) -> Array | None:
        if dstate is None:
            return None
        return np.stack([chains.final_gradient(d, self.spec.reverse(k)) for k, d in enumerate(dstate)])


class PlainTape(LevelTape):
    """Of a layer that the core's plain network ran."""

    def __init__(self, spec: Spec, tape: Any) -> None:
        super().__init__(spec)
        self._tape = tape

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        return int(self._tape.nbytes)

    def _backward(
        self, dy: Array, dh: Array | None, dc: Array | None, truncate: int
    ) -> tuple[Array, Array, Array | None, list[Array]]:
        dx, dh0, dc0, params, _ = self._tape.backward(dy, dh, dc, truncate=truncate)
        return dx, dh0, dc0, params


class StagedDirectionTape(NamedTuple):
    """Of one direction that the core's general cell ran."""

    tape: Any
    weight: Array | None  # the mask of weight_hh, the second parameter
    learned: bool
    began: list[bool]  # of h and c: whether the state was the learned one

    def backward(
        self, dy: Array, dh: Array | None, dc: Array | None, truncate: int
    ) -> tuple[Array, Array, Array | None, list[Array]]:
        """As `LevelTape.backward`, of one direction."""
        dx, dh0, dc0, grads, *dinitial = self.tape.backward(dy, dh, dc, truncate=truncate)
        grads = list(grads)
        if self.weight is not None:
            grads[1] = grads[1] * self.weight
        if self.learned:
            for began, d, first in zip(self.began, dinitial, (dh0, dc0), strict=True):
                if d is not None:
                    grads.append(d + first.sum(axis=0) if began else d)
        return dx, dh0, dc0, grads


class StagedTape(LevelTape):
    """Of a layer whose directions the core's general cell ran."""

    def __init__(self, spec: Spec, tapes: list[StagedDirectionTape]) -> None:
        super().__init__(spec)
        self._tapes = tapes

    @property
    def nbytes(self) -> int:
        """Bytes of memory the tape holds."""
        return sum(int(one.tape.nbytes) for one in self._tapes)

    def _backward(
        self, dy: Array, dh: Array | None, dc: Array | None, truncate: int
    ) -> tuple[Array, Array, Array | None, list[Array]]:
        width = self.spec.output_size
        found = [
            one.backward(
                np.ascontiguousarray(dy[..., k * width : (k + 1) * width]),
                None if dh is None else np.ascontiguousarray(dh[k]),
                None if dc is None else np.ascontiguousarray(dc[k]),
                truncate,
            )
            for k, one in enumerate(self._tapes)
        ]
        dx = found[0][0] if len(found) == 1 else found[0][0] + found[1][0]  # (D4)
        dc0 = np.stack([one[2] for one in found if one[2] is not None]) if self.spec.has_cell else None
        return dx, np.stack([one[1] for one in found]), dc0, [d for one in found for d in one[3]]
