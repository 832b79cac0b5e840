"""The situations, by name: what else runs on the machine, and what is timed beside it.

This is the one list; the command line and its help read it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from fusedrnn.bench import machine
from fusedrnn.bench.beside.works import PEER_THREADS, Work
from fusedrnn.bench.shapes import select

__all__ = ["ALL", "SITUATIONS", "Situation", "expand"]


@dataclass(frozen=True)
class Situation:
    """Other work on the machine, and the works that are timed while it runs."""

    meaning: str
    works: tuple[Work, ...]
    busy: int = 0
    """Other processes that compute all the time."""
    processes: int = 1
    """Processes that run the works at the same time."""
    oversubscribed: bool = False
    """Whether fusedrnn is told to use twice as many threads as there are processors."""
    peer: str | None = None
    """The implementation that must be installed."""

    def environment(self) -> dict[str, str]:
        """Variables of its processes, besides the user's own."""
        if not self.oversubscribed:
            return {}
        allowed = machine.affinity()
        return {"FUSEDRNN_NUM_THREADS": str(2 * (len(allowed) if allowed else os.cpu_count() or 1))}


def _work(kind: str, size: str, layers: int = 1, columns: int = 0) -> Work:
    (shape,) = select([size])
    return Work(kind, shape, layers, columns)


_ALONE = (
    _work("forward", "1x100x200x256"),
    _work("forward", "1x300x128x128", layers=4),
    _work("train", "33x32x1x32"),
    _work("train", "20x50x16x24"),
)
"""Works of fusedrnn only, the same in every situation that has no other library."""

_PRODUCTS = (_work("product", "1x100x64x256", columns=100), _work("product", "16x50x64x128", columns=1000))


def _with_peer(name: str) -> tuple[Work, ...]:
    return tuple(_work(name, size) for size in ("8x50x100x100", "1x100x200x256", "1x40x512x512"))


SITUATIONS: dict[str, Situation] = {
    "quiet": Situation("nothing else runs: what the others are compared with", _ALONE),
    "blas": Situation("NumPy's products between record and backward, on its own threads", _PRODUCTS),
    "busy": Situation("another process computes all the time", _ALONE, busy=1),
    "busy2": Situation("two other processes compute all the time", _ALONE, busy=2),
    "onnxruntime": Situation(
        f"by turns with ONNX Runtime on {PEER_THREADS} threads", _with_peer("onnxruntime"), peer="onnxruntime"
    ),
    "torch": Situation(f"by turns with torch.nn.LSTM on {PEER_THREADS} threads", _with_peer("torch"), peer="torch"),
    "oversubscribed": Situation("FUSEDRNN_NUM_THREADS is twice the processors", _ALONE, oversubscribed=True),
    "twins": Situation("two processes at once, each as oversubscribed", _ALONE, processes=2, oversubscribed=True),
}
"""Situations by name."""

ALL = "all"
"""The name that means every situation."""


def expand(names: Sequence[str]) -> list[str]:
    """The situations that these names mean, each once; `ALL` is every one."""
    return list(dict.fromkeys(each for name in names for each in (SITUATIONS if name == ALL else [name])))
