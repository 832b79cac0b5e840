"""Where one direction of a layer whose cell has options comes from: the compiled class, or the same in NumPy."""

from __future__ import annotations

from typing import Any

from fusedrnn import _core


def _found() -> Any:
    compiled = getattr(_core, "StagedLayer", None)
    if compiled is not None:
        return compiled
    from fusedrnn.reference.staged import StagedLayer

    return StagedLayer


StagedLayer: Any = _found()
