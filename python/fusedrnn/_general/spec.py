"""What a general network is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusedrnn import _core
from fusedrnn._options import is_plain_cell


@dataclass(frozen=True)
class Spec:
    """Sizes and options of a network."""

    cell: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    proj_size: int
    dtype: np.dtype[Any]
    options: Mapping[str, Any]

    @property
    def directions(self) -> int:
        """D."""
        return 2 if self.bidirectional else 1

    @property
    def has_cell(self) -> bool:
        """Whether there is a c beside h."""
        return self.cell == "lstm"

    @property
    def output_size(self) -> int:
        """P, the width of h."""
        return self.proj_size or self.hidden_size

    @property
    def features(self) -> int:
        """The width of a layer's output, its directions merged."""
        return self.output_size * (self.directions if self.options["merge"] == "concat" else 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of h and, of an LSTM, c."""
        return (self.output_size, self.hidden_size) if self.has_cell else (self.output_size,)

    @property
    def plain_cell(self) -> bool:
        """Whether the core's plain cells compute a call."""
        return is_plain_cell(self.cell, self.options, _core.nonlinearities())

    @property
    def plain_call(self) -> bool:
        """Whether one plain network of the core computes a whole call: what is random acts in `record` only."""
        o = self.options
        return self.plain_cell and o["merge"] == "concat" and o["connection"] is None and not self.dilated

    @property
    def dilated(self) -> bool:
        """Whether any layer is dilated."""
        return any(self.dilation(index) > 1 for index in range(self.num_layers))

    def width(self, index: int) -> int:
        """The width of x of a layer."""
        return self.features if index else self.input_size

    def dilation(self, index: int) -> int:
        """d of a layer."""
        d = self.options["dilation"]
        return int(d[index] if isinstance(d, tuple) else d)

    def reverse(self, direction: int) -> bool:
        """Whether a direction runs from the last step to the first."""
        return bool(direction or self.options["reverse"])

    def plain(self, input_size: int, num_layers: int) -> _core.Network:
        """A plain network of the core with these sizes."""
        more = {"nonlinearity": self.options["nonlinearity"]} if self.cell == "rnn" else {}
        return _core.Network(
            self.cell,
            input_size,
            self.hidden_size,
            num_layers=num_layers,
            bias=self.bias,
            bidirectional=self.bidirectional,
            reverse=self.options["reverse"],
            proj_size=self.proj_size,
            dtype=self.dtype.name,
            **more,
        )
