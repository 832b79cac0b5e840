"""The weights of recurrent layers in an HDF5 file of Keras."""

from __future__ import annotations

from typing import Any

from fusedrnn._checks import Array
from fusedrnn.convert import hdf5
from fusedrnn.convert.keras_config import Found

VARIABLES = ("kernel", "recurrent_kernel", "bias")
DIRECTIONS = ("forward_layer", "backward_layer")
CLASS_OF_GATES = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}


class Weights:
    """An opened file. By layer: groups named as layers, as Keras 2 wrote them. Else groups named as classes."""

    def __init__(self, root: Any) -> None:
        held = hdf5.child(root, "model_weights")
        self.root: Any = root if held is None else held
        self.by_layer = hdf5.strings(self.root, "layer_names") is not None

    def of(self, found: Found) -> list[list[Array]]:
        """For each direction kernel, recurrent kernel and, if there is one, bias."""
        arrays = self._by_layer(found.names) if self.by_layer else self._by_class(found)
        return [[hdf5.array(dataset) for dataset in direction] for direction in arrays]

    # Keras 2, and the old format of Keras 3

    def _by_layer(self, names: tuple[str, ...]) -> list[list[Any]]:
        group = hdf5.child(self.root, names[0])
        held = [] if group is None else hdf5.strings(group, "weight_names") or []
        if len(names) > 1:
            held = [name for name in held if names[-1] in name.split("/")]
        leaves = [(name.rpartition("/")[2].partition(":")[0], name) for name in held]
        directions: list[list[Any]] = []
        for leaf, name in leaves:
            if leaf == "kernel":
                directions.append([])
            if leaf in VARIABLES and directions:
                directions[-1].append(hdf5.child(group, name))
        if not directions or any(dataset is None for direction in directions for dataset in direction):
            raise ValueError(
                f"expected weights named kernel, recurrent_kernel and bias, got {', '.join(held) or 'none'}"
            )
        return directions

    # Keras 3

    def _by_class(self, found: Found) -> list[list[Any]]:
        group = self._group(found)
        parts = [hdf5.child(group, name) for name in DIRECTIONS] if found.class_name == "Bidirectional" else [group]
        directions = [variables(part) for part in parts]
        if not all(directions):
            raise ValueError(f"expected weights at {found.path}/cell/vars, got none")
        return directions

    def _group(self, found: Found) -> Any:
        """The group at the layer's path; a layer that two models share is at only one, and there its name is."""
        group = hdf5.child(self.root, found.path)
        if group is not None:
            return group
        every = list(hdf5.groups(self.root))
        named = [group for path, group in every if _as_keras_3(path) == found.path]
        named = named or [group for _, group in every if _name(group) == found.names[-1]]
        if len(named) != 1:
            raise ValueError(f"expected weights at {found.path}, got none")
        return named[0]


def variables(group: Any) -> list[Any]:
    """The datasets of a layer's cell in their order, or of a layer that is its own cell."""
    held = None if group is None else hdf5.child(group, "cell/vars") or hdf5.child(group, "vars")
    if held is None:
        return []
    members = hdf5.children(held)
    return [members[str(k)] for k in range(len(members)) if str(k) in members]


def _as_keras_3(path: str) -> str:
    """The path of a group as Keras 3 writes it; early versions of the format had other names for the same."""
    return path.replace("\\", "/").replace("_layer_checkpoint_dependencies", "layers")


def _name(group: Any) -> str | None:
    held = hdf5.child(group, "vars")
    return None if held is None or "name" not in held.attrs else hdf5.text(held.attrs["name"])


# Without a configuration


def inferred(weights: Weights) -> list[Found]:
    """The recurrent layers that the weights show, with the defaults of their classes."""
    return _inferred_by_layer(weights) if weights.by_layer else _inferred_by_class(weights)


def _inferred_by_layer(weights: Weights) -> list[Found]:
    found = []
    for name in hdf5.strings(weights.root, "layer_names") or []:
        group = hdf5.child(weights.root, name)
        held = [] if group is None else hdf5.strings(group, "weight_names") or []
        if any(weight.rpartition("/")[2].partition(":")[0] == "recurrent_kernel" for weight in held):
            directions = [[hdf5.array(part) for part in one] for one in weights._by_layer((name,))]
            found.append(_described((name,), "", directions))
    return found


def _inferred_by_class(weights: Weights) -> list[Found]:
    found, inside = [], ""
    for path, group in hdf5.groups(weights.root):
        if inside and path.startswith(f"{inside}/"):
            continue
        parts = [hdf5.child(group, name) for name in DIRECTIONS]
        cells = [part for part in parts if part is not None] or [group]
        directions = [[hdf5.array(one) for one in variables(part)] for part in cells if hdf5.child(part, "cell/vars")]
        if directions and all(_is_recurrent(one) for one in directions):
            inside = path
            found.append(_described((_name(group) or path,), path, directions))
    return found


def _is_recurrent(arrays: list[Array]) -> bool:
    """Kernel (I, G*H), recurrent kernel (H, G*H)."""
    return len(arrays) in (2, 3) and arrays[0].ndim == arrays[1].ndim == 2 and arrays[0].shape[1] == arrays[1].shape[1]


def _described(names: tuple[str, ...], path: str, directions: list[list[Array]]) -> Found:
    units, columns = directions[0][1].shape
    class_name = CLASS_OF_GATES.get(columns // units if units and columns % units == 0 else 0)
    if class_name is None:
        raise ValueError(
            f"{names[0]}: expected a recurrent kernel (H, G*H) with G of 1, 3 or 4, got {(units, columns)}"
        )
    config = {"units": units, "use_bias": len(directions[0]) == 3, "recurrent_activation": "sigmoid"}
    if class_name == "SimpleRNN":
        del config["recurrent_activation"]
    if len(directions) == 1:
        return Found(names, path, class_name, config)
    return Found(names, path, "Bidirectional", {"layer": {"class_name": class_name, "config": config}})
