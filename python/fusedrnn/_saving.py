"""Arrays in a file, by safetensors: https://github.com/huggingface/safetensors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fusedrnn._checks import Array

if TYPE_CHECKING:  # what only files need would double the time of `import fusedrnn`
    from pathlib import Path

__all__ = ["load_arrays", "raw_tensors", "require_saving", "save_arrays"]


def save_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write the arrays; when anything fails, the file that was there before is there still.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be written.
    """
    numpy_part = _safetensors("safetensors.numpy")
    from fusedrnn._files import whole_file

    with whole_file(path) as file:
        whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        file.write_bytes(numpy_part.save(whole, dict(metadata or {})))


def require_saving(path: Path) -> None:
    """An error now where `save_arrays` would fail after hours: OSError of the path, ImportError without safetensors."""
    _safetensors("safetensors.numpy")
    from fusedrnn._files import require_writable

    require_writable(path)


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a file, and its metadata.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be read.
        ValueError: it is damaged, or no safetensors file.
    """
    opened = _safetensors("safetensors")
    with open(path, "rb"):  # an OSError that names the file
        pass
    try:
        with opened.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except opened.SafetensorError as error:
        raise ValueError(f"{path}: expected a safetensors file, this one is damaged or none: {error}") from None
    except (TypeError, AttributeError, KeyError) as error:  # bfloat16 and others that NumPy does not have
        raise ValueError(f"{path}: expected arrays of types that NumPy has: {error}") from None


def raw_tensors(path: Path) -> list[tuple[str, str, list[int], bytes]]:
    """Name, type, shape and bytes of every tensor of a safetensors file, also of types that NumPy does not have.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be read.
        ValueError: it is damaged, or no safetensors file.
    """
    package = _safetensors("safetensors")
    try:
        tensors = package.deserialize(path.read_bytes())
    except package.SafetensorError as error:
        raise ValueError(f"{path}: expected a safetensors file, this one is damaged or none: {error}") from None
    return [(name, one["dtype"], one["shape"], one["data"]) for name, one in tensors]


class Saved:
    """What can be saved: its parameters, under their names, in a safetensors file."""

    if TYPE_CHECKING:  # an attribute of some, a property of others

        @property
        def params(self) -> MutableMapping[str, Array]:
            """The parameters by name."""

    def load_params(self, mapping: Mapping[str, object]) -> None:
        """Copy the values of `mapping` into the parameters."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write the parameters to a safetensors file, under their names, as a torch `state_dict` would be.

        When anything fails, the file that was there before is there still.

        Raises:
            ImportError: safetensors is not installed.
            OSError: the file cannot be written.
        """
        from pathlib import Path

        save_arrays(Path(path), self.params)

    def load(self, path: str | Path) -> None:
        """Read the parameters from a safetensors file: one that `save` wrote, a checkpoint of `fusedrnn.fit` (its best
        parameters, if it has them), or any other with these names and shapes.

        Raises:
            ImportError: safetensors is not installed.
            OSError: the file cannot be read.
            ValueError: it is damaged, or has other names or shapes. Then no parameter has changed.
        """
        from pathlib import Path

        arrays, _ = load_arrays(Path(path))
        for prefix in ("best.", "model."):
            below = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
            if below and set(below) == set(self.params):
                arrays = below
                break
        self.load_params(arrays)


def _safetensors(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError('saving and loading need safetensors: pip install "fusedrnn[train]"') from None
