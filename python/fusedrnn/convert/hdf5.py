"""HDF5 files of strangers: what a group or a dataset really holds, and nothing that lies outside of the file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from fusedrnn._checks import Array

MAGIC = b"\x89HDF\r\n\x1a\n"
MOST_COMPRESSED = 1100
"""How many bytes one stored byte may become; gzip, which Keras's users have, reaches 1032."""
DEEPEST = 40


@contextmanager
def opened(file: BinaryIO, name: str) -> Iterator[Any]:
    """The root group.

    Raises:
        ImportError: h5py is not installed.
        ValueError: the file is damaged, or what is read in the block is.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError:
        raise ImportError('HDF5 files need h5py: pip install "fusedrnn[keras]"') from None
    try:
        with h5py.File(file, "r") as root:
            yield root
    except (OSError, RuntimeError, KeyError) as error:  # what h5py raises of a damaged file
        raise ValueError(f"{name}: expected an HDF5 file of Keras, this one is truncated or damaged: {error}") from None


def children(group: Any) -> dict[str, Any]:
    """The members of a group by name.

    Raises:
        ValueError: a link leads out of the file, or to another name.
    """
    return {name: child(group, name) for name in group}


def child(group: Any, path: str) -> Any | None:
    """What lies below a group at names joined by "/", or None."""
    found = group
    for name in path.split("/"):
        if not hasattr(found, "keys") or name not in found:
            return None
        link = type(found.get(name, getlink=True)).__name__
        if link != "HardLink":
            raise ValueError(
                f"{found.name}/{name}: expected data in the file itself, got an HDF5 {link}; links are not followed"
            )
        found = found[name]
    return found


def groups(root: Any) -> Iterator[tuple[str, Any]]:
    """Every group with its path, the root first."""

    def below(group: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
        if depth > DEEPEST:
            raise ValueError(f"{path}: expected at most {DEEPEST} groups inside one another")
        yield path, group
        for name, member in children(group).items():
            if hasattr(member, "keys"):
                yield from below(member, f"{path}/{name}" if path else name, depth + 1)

    yield from below(root, "", 0)


def array(dataset: Any) -> Array:
    """The values of a dataset of numbers.

    Raises:
        ValueError: no dataset, one whose values lie in another file, or one larger than what the file holds.
    """
    if hasattr(dataset, "keys"):
        raise ValueError(f"{dataset.name}: expected an array, got a group")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name}: expected data in the file itself, got an HDF5 dataset of another file")
    stored = dataset.id.get_storage_size() * (MOST_COMPRESSED if dataset.compression else 1)
    if dataset.size and dataset.size * dataset.dtype.itemsize > stored:
        raise ValueError(f"{dataset.name}: expected {dataset.size} values, and the file holds fewer")
    return np.asarray(dataset[()])


def strings(group: Any, name: str) -> list[str] | None:
    """An attribute that is a list of strings, which Keras cuts into pieces where it is long; None if there is none."""
    pieces = [name] if name in group.attrs else []
    if not pieces:
        while f"{name}{len(pieces)}" in group.attrs:
            pieces.append(f"{name}{len(pieces)}")
    if not pieces:
        return None
    return [text(value) for piece in pieces for value in group.attrs[piece]]


def text(value: object) -> str:
    """An attribute that is one string."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
