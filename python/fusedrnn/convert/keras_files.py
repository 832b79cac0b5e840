"""`fusedrnn.load_keras`: recurrent layers out of the files of Keras, which need not be installed.

Three kinds are told apart by what they begin with and hold:

    .keras          a zip archive: config.json, metadata.json, model.weights.h5
    .h5             HDF5 with the attribute model_config and weights by layer (Keras 2, and Keras 3's old format)
    .weights.h5     HDF5 of weights alone: by class and number (Keras 3), or by layer (Keras 2)
"""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from fusedrnn import _checks
from fusedrnn.convert import hdf5
from fusedrnn.convert.keras_config import Found, parsed, recurrent_layers, refuse_code
from fusedrnn.convert.keras_layer import described, keras_layer
from fusedrnn.convert.keras_weights import Weights, inferred

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class Parts(NamedTuple):
    """What a file holds beside the weights."""

    config: object
    version: int | None


def load_keras(
    path: str | os.PathLike[str],
    *,
    config: object = None,
    only: Iterable[str] | None = None,
    keras_version: int | None = None,
    dtype: object = None,
    rng: object = None,
) -> dict[str, Any]:
    """The recurrent layers of a saved Keras model, by name.

    Args:
        path: a `.keras`, `.h5` or `.weights.h5` file, of Keras 2 or 3.
        config: for a file of weights alone, what the model is: `model.to_json()`, that parsed, or the path of a JSON
            file with it. With "defaults" every layer has the defaults of its class, in one direction or concatenated:
            the shapes alone say the rest.
        only: names of layers; others are neither read nor checked.
        keras_version: 2 or 3, which decides what hard_sigmoid is, where the file does not say it.
        dtype, rng: of every layer, as `from_keras` has them.

    Returns:
        Layers as `from_keras` makes them, in the model's order. A layer inside a model inside the model has the names
        of both, such as "encoder/lstm". Layers that are not recurrent are left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or none of Keras; a layer, an option or an activation that has no counterpart here;
            a Lambda layer, unless `only` is given; a link out of the file. Nothing is ever unpickled or run.
        ImportError: h5py is not installed.

    Warns:
        UserWarning: a file of weights alone, without `config`: the defaults are a guess.
    """
    file = Path(path)
    version = None if keras_version is None else _checks.integer("keras_version", keras_version, 2, 3)
    chosen = None if only is None else _names(only)
    with open(file, "rb") as stream:
        head = stream.read(8)
        stream.seek(0)
        if head.startswith(b"PK"):
            data, parts = _archive(stream, file)
            source: Any = BytesIO(data)
        elif head == hdf5.MAGIC:
            source, parts = stream, None
        else:
            raise ValueError(f"path: {file} is none of Keras's files (.keras, .h5, .weights.h5){_hint(head)}")
        with hdf5.opened(source, str(file)) as root:
            weights = Weights(root)
            known = parts or _attributes(root)
            if known.config is None and config is not None and config != "defaults":
                known = _given(config, known.version)
            layers = _layers(known.config, config is None, weights, chosen)
            return {
                found.name: _made(found, weights, version or known.version, dtype, rng)
                for found in _selected(layers, chosen)
            }


def _names(only: Iterable[str]) -> list[str]:
    if isinstance(only, str):
        return [only]
    names = list(only)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"only: expected names of layers, got {_checks.shown(name)}")
    return names


def _archive(stream: Any, file: Path) -> tuple[bytes, Parts]:
    """The HDF5 part of a `.keras` file, and what the others say."""
    try:
        with zipfile.ZipFile(stream) as archive:
            held = archive.namelist()
            if "model.weights.h5" not in held or "config.json" not in held:
                raise ValueError(
                    f"path: expected config.json and model.weights.h5 in {file}, got {', '.join(held[:8])}"
                )
            config = parsed(archive.read("config.json"), f"{file}: config.json")
            meta = parsed(archive.read("metadata.json"), f"{file}: metadata.json") if "metadata.json" in held else {}
            version = meta.get("keras_version") if isinstance(meta, Mapping) else None
            return archive.read("model.weights.h5"), Parts(config, _major(version))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise ValueError(f"path: {file} is truncated or damaged: {error}") from None


def _attributes(root: Any) -> Parts:
    """What the attributes of an HDF5 file say."""
    held = root.attrs
    weights = hdf5.child(root, "model_weights")
    version = held.get("keras_version", None if weights is None else weights.attrs.get("keras_version"))
    config = held.get("model_config")
    return Parts(
        None if config is None else parsed(hdf5.text(config), "model_config"),
        None if version is None else _major(hdf5.text(version)),
    )


def _major(version: object) -> int | None:
    digits = version.partition(".")[0] if isinstance(version, str) else ""
    return max(2, int(digits)) if digits.isdigit() and len(digits) < 3 else None


def _given(config: object, version: int | None) -> Parts:
    """The configuration that the caller has for a file of weights. Keras 2 writes its version into it."""
    if isinstance(config, str) and config.lstrip().startswith("{"):
        model = parsed(config, "config")
    elif isinstance(config, (str, os.PathLike)):
        model = parsed(Path(config).read_bytes(), f"config: {config}")
    else:
        model = config
    if not isinstance(model, Mapping):
        raise TypeError(f"config: expected JSON, a mapping or a path, got {_checks.describe(config)}")
    said = _major(model.get("keras_version"))
    return Parts(model, said or version or (3 if "module" in model else None))


def _layers(model: object, guessed: bool, weights: Weights, chosen: list[str] | None) -> list[Found]:
    """The recurrent layers that the configuration names; without one, those that the weights show."""
    if model is None:
        if guessed:
            warnings.warn(
                "path: the file holds weights alone; activations, go_backwards and merge_mode are taken to be Keras's "
                'defaults. config=model.to_json() says what they are, config="defaults" that they are these',
                UserWarning,
                stacklevel=3,
            )
        return inferred(weights)
    if not isinstance(model, Mapping):
        raise ValueError(f"path: expected the configuration of a Keras model, got {_checks.describe(model)}")
    if chosen is None:
        refuse_code(model)
    return recurrent_layers(model)


def _selected(layers: list[Found], chosen: list[str] | None) -> list[Found]:
    if chosen is None:
        return layers
    by_name = {found.name: found for found in layers}
    missing = [name for name in chosen if name not in by_name]
    if missing:
        raise ValueError(f"only: no recurrent layer named {missing[0]!r}; there are {', '.join(by_name) or 'none'}")
    return [by_name[name] for name in chosen]


def _made(found: Found, weights: Weights, version: int | None, dtype: object, rng: object) -> Any:
    try:
        return keras_layer(described(found.class_name, found.config, version), weights.of(found), dtype, rng)
    except ValueError as error:
        raise ValueError(f"{found.name}: {error}") from None


def _hint(head: bytes) -> str:
    if head.startswith(PICKLES):
        return ": it begins as a pickle does, and nothing is ever unpickled here"
    return "" if head else ": it is empty"
