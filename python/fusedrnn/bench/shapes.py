"""The shapes that are measured: what each stands for, and how they are picked by name, by group or by size.

This is the one list; the command line, ``benchmarks/`` and the documentation read it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "SHAPES", "Shape", "select"]


@dataclass(frozen=True)
class Shape:
    """B rows of T steps of I inputs, through H hidden units in one or two directions."""

    name: str
    batch: int
    steps: int
    inputs: int
    hidden: int
    groups: tuple[str, ...] = ()
    directions: int = 1
    ragged: bool = False

    @property
    def size(self) -> str:
        """ "BxTxIxH", with "-bi" for two directions and "-ragged" for lengths uniform in 1…T: `select` reads it."""
        marks = ("-bi" if self.directions == 2 else "") + ("-ragged" if self.ragged else "")
        return f"{self.batch}x{self.steps}x{self.inputs}x{self.hidden}{marks}"

    @property
    def label(self) -> str:
        """The size as it is printed."""
        return self.size.replace("x", "×").replace("-", " ")

    @cached_property
    def lengths(self) -> NDArray[np.int64] | None:
        """Length of every row, uniform in 1…T and the same in every process; None when all rows are T long.

        One row is T long, so that the padded array is no longer than it has to be.
        """
        if not self.ragged:
            return None
        lengths = np.random.default_rng(0).integers(1, self.steps + 1, self.batch)
        if self.batch:
            lengths[0] = self.steps
        return lengths

    @property
    def useful_steps(self) -> int:
        """Steps summed over the rows, padding left out."""
        return self.batch * self.steps if self.lengths is None else int(self.lengths.sum())


GROUPS: dict[str, str] = {
    "quick": "six shapes from one audio cell to a language model: the default",
    "small": "what finishes in microseconds: audio cells, control, one step",
    "uses": "one shape or more of every use, from a streaming step to speech and language models",
    "field": "the shapes of the figures in the literature and in the peers' issues",
    "long": "one row, T from 1 to 2000",
    "off-block": "sizes that are no multiple of a vector, each beside its neighbours that are",
    "ragged": "rows of unequal length, each beside its padded twin",
    "all": "every named shape",
}
"""Groups by name, and what they hold."""

SHAPES: tuple[Shape, ...] = (
    # One step, as a frame loop or a policy calls it.
    Shape("step-16", 1, 1, 16, 16, ("small", "uses", "field")),
    Shape("step-32", 1, 1, 32, 32, ("small", "uses")),
    Shape("step-64", 1, 1, 64, 64, ("small", "uses", "field")),
    Shape("step-256", 1, 1, 256, 256, ("field",)),
    # Small audio cells: amplifier models (one sample in, one out), effects, denoisers.
    Shape("amp-16", 1, 128, 1, 16, ("small",)),
    Shape("amp-40", 1, 128, 1, 40, ("small", "off-block")),
    Shape("audio-16", 1, 100, 16, 16, ("quick", "small", "uses")),
    Shape("audio-32", 1, 100, 32, 32, ("small", "uses")),
    Shape("audio-64", 1, 100, 64, 64, ("small", "uses", "field")),
    # The same cell, longer and longer.
    Shape("long-1", 1, 1, 32, 64, ("long",)),
    Shape("long-10", 1, 10, 32, 64, ("long",)),
    Shape("long-100", 1, 100, 32, 64, ("long",)),
    Shape("long-500", 1, 500, 32, 64, ("long",)),
    Shape("long-2000", 1, 2000, 32, 64, ("long", "small")),
    # One row: the weights are read once a step, from wherever they fit.
    Shape("row-128", 1, 100, 128, 128, ("quick", "uses")),
    Shape("row-256", 1, 100, 256, 256, ("uses", "field")),
    Shape("row-512", 1, 100, 512, 512, ("uses",)),
    Shape("row-1024", 1, 100, 1024, 1024, ("uses", "field")),
    # Voice activity, control and reinforcement learning.
    Shape("vad-64", 8, 32, 80, 64, ("small",)),
    Shape("vad-128", 8, 50, 128, 128, ("quick", "uses", "field")),
    Shape("rl-64", 64, 16, 32, 64, ("small",)),
    Shape("rl-256", 64, 16, 64, 256, ()),
    Shape("batch-6", 6, 50, 256, 256, ("field",)),
    # Tagging and classification of short text.
    Shape("tagging-32", 32, 50, 32, 32, ("field",)),
    Shape("tagging-64", 32, 50, 64, 64, ("quick", "uses", "field")),
    Shape("tagging-128", 32, 50, 128, 128, ("uses",)),
    Shape("tagging-256", 32, 50, 256, 256, ("quick", "uses", "field")),
    Shape("tagging-128-bi", 32, 50, 128, 128, (), directions=2),
    Shape("tagging-256-bi", 32, 50, 256, 256, (), directions=2),
    # Language models: one layer of a word model, and the medium model of Zaremba et al. 2014.
    Shape("language-512", 64, 50, 512, 512, ("quick", "uses", "field")),
    Shape("language-650", 20, 35, 650, 650, ("off-block",)),
    Shape("language-1024", 128, 50, 1024, 1024, ("uses", "field")),
    # Translation (GNMT) and speech (DeepSpeech 2), as oneDNN's benchdnn has them.
    Shape("gnmt-512", 128, 25, 512, 512, ()),
    Shape("gnmt-1024", 128, 25, 1024, 1024, ()),
    Shape("deepspeech-50", 16, 50, 1760, 1760, ()),
    Shape("deepspeech-100", 16, 100, 1760, 1760, ("uses",)),
    Shape("deepspeech-200", 16, 200, 1760, 1760, ()),
    # Off the unit block of 16: the cost must be that of the neighbours, pro rata.
    Shape("off-16", 32, 50, 16, 16, ("off-block",)),
    Shape("off-17", 32, 50, 17, 17, ("off-block",)),
    Shape("off-96", 32, 50, 96, 96, ("off-block",)),
    Shape("off-100", 32, 50, 100, 100, ("off-block",)),
    Shape("off-112", 32, 50, 112, 112, ("off-block",)),
    Shape("off-992", 16, 50, 992, 992, ("off-block", "uses")),
    Shape("off-1000", 16, 50, 1000, 1000, ("off-block", "uses")),
    Shape("off-1008", 16, 50, 1008, 1008, ("off-block", "uses")),
    # Rows of unequal length; the padded twins are tagging-64, tagging-256 and language-512.
    Shape("ragged-64", 32, 50, 64, 64, ("ragged",), ragged=True),
    Shape("ragged-256", 32, 50, 256, 256, ("ragged", "uses"), ragged=True),
    Shape("ragged-512", 64, 50, 512, 512, ("ragged",), ragged=True),
)

_SIZE = re.compile(r"(\d+)[x×](\d+)[x×](\d+)[x×](\d+)(-bi)?(-ragged)?")


def group(name: str) -> list[Shape]:
    """The shapes of a group; a ragged shape's padded twin belongs to the group "ragged" as well."""
    if name == "all":
        return list(SHAPES)
    found = [shape for shape in SHAPES if name in shape.groups]
    if name == "ragged":
        twins = {replace(shape, ragged=False).size for shape in found}
        found = [shape for shape in SHAPES if shape in found or shape.size in twins]
    return found


def _one(text: str) -> list[Shape]:
    if text in GROUPS:
        return group(text)
    for shape in SHAPES:
        if text in (shape.name, shape.size):
            return [shape]
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"unknown shape {text!r}; a shape is BxTxIxH (with -bi, -ragged), a group ({', '.join(GROUPS)}) "
            f"or a name ({', '.join(shape.name for shape in SHAPES)})"
        )
    batch, steps, inputs, hidden = map(int, match.groups()[:4])
    if min(batch, steps, inputs, hidden) < 1:
        raise ValueError(f"shape {text!r}: expected sizes of at least 1")
    shape = Shape(text, batch, steps, inputs, hidden, (), 2 if match[5] else 1, match[6] is not None)
    return [next((known for known in SHAPES if known.size == shape.size), replace(shape, name=shape.size))]


def select(names: Sequence[str]) -> list[Shape]:
    """The shapes that these names, groups and sizes mean, in their order, each once.

    Raises:
        ValueError: a name is unknown; the message lists what exists.
    """
    chosen = [shape for name in names for shape in _one(name)]
    return list(dict.fromkeys(chosen))
