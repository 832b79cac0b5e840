"""A program: read files of Keras where Keras and its backends cannot be imported, and run what is in them.

    python keras_reader.py FOLDER

FOLDER has cases.json: a list of {"path": of a Keras file, "x": of a .npy file, "out": of an .npz to write,
"options": of load_keras}. Written are y and the state of every layer: NAME.y, NAME.h and, of an LSTM, NAME.c.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import fusedrnn as fr

FORBIDDEN = ("keras", "tf_keras", "tensorflow", "torch", "jax", "flax", "pickle5", "dill", "marshal_")


class Blocker:
    """Nothing of these packages can be imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} must not be imported here")


def main(folder: Path) -> None:
    sys.meta_path.insert(0, Blocker())  # type: ignore[arg-type]
    for case in json.loads((folder / "cases.json").read_text()):
        layers = fr.load_keras(case["path"], **case["options"])
        x = np.load(case["x"])
        arrays = {}
        for name, layer in layers.items():
            y, state = layer(x)
            parts = state if isinstance(state, tuple) else (state,)
            arrays |= {f"{name}.{key}": part for key, part in zip("yhc", (y, *parts), strict=False)}
        np.savez(case["out"], **arrays)
    assert not any(name.partition(".")[0] in FORBIDDEN for name in sys.modules)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
