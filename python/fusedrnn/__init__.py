"""fusedrnn: fast recurrent networks on a CPU, in one small wheel that needs only NumPy.

    import numpy as np
    import fusedrnn as fr

    lstm = fr.LSTM(64, 128, rng=0)
    y, (h, c) = lstm(np.zeros((50, 32, 64), np.float32))

Layers (`LSTM`, `GRU`, `RNN`) run whole sequences, cells one step, streams keep a state between steps;
`fusedrnn.functional` has the same without objects, and `fusedrnn.reference` says in plain NumPy what every result
must be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusedrnn import functional, streaming
from fusedrnn.cells import GRUCell, LSTMCell, RNNCell
from fusedrnn.layers import GRU, LSTM, RNN
from fusedrnn.runtime import (
    available_isas,
    build_info,
    get_num_threads,
    isa,
    set_num_threads,
    threads,
    use_isa,
)

if TYPE_CHECKING:
    from fusedrnn import nn, optim, plot, reference
    from fusedrnn.training import fit, gradient_flow, tbptt

    __version__: str

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "available_isas",
    "build_info",
    "fit",
    "functional",
    "get_num_threads",
    "gradient_flow",
    "isa",
    "nn",
    "optim",
    "plot",
    "reference",
    "set_num_threads",
    "streaming",
    "tbptt",
    "threads",
    "use_isa",
]


if not TYPE_CHECKING:  # a type checker that saw it would accept any name

    def __getattr__(name: str) -> Any:
        """What no network needs to run is found when it is first asked for."""
        import importlib

        if name in ("nn", "optim", "plot", "reference"):
            return importlib.import_module(f"fusedrnn.{name}")
        if name in ("fit", "gradient_flow", "tbptt"):
            return getattr(importlib.import_module("fusedrnn.training"), name)
        if name == "__version__":
            from importlib import metadata

            try:
                value = metadata.version("fusedrnn")
            except metadata.PackageNotFoundError:  # run from a source tree
                value = "unknown"
            globals()["__version__"] = value
            return value
        raise AttributeError(f"module 'fusedrnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
