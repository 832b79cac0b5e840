"""The attributes of an RNN, LSTM or GRU node, checked, with their defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fusedrnn import _checks
from fusedrnn._activations import Activation
from fusedrnn.onnx._activations import read_activations


@dataclass(frozen=True)
class Kind:
    """What one of the three operators has: gates, outputs, the activations of a direction, attributes of its own."""

    name: str
    gates: int
    activations: tuple[str, ...]
    own: str | None
    """The attribute that only this operator has."""

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("Y", "Y_h", "Y_c") if self.name == "LSTM" else ("Y", "Y_h")


KINDS: Final[dict[str, Kind]] = {
    "RNN": Kind("RNN", 1, ("Tanh",), None),
    "GRU": Kind("GRU", 3, ("Sigmoid", "Tanh"), "linear_before_reset"),
    "LSTM": Kind("LSTM", 4, ("Sigmoid", "Tanh", "Tanh"), "input_forget"),
}

DIRECTIONS: Final = ("forward", "reverse", "bidirectional")

_COMMON: Final = (
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "layout",
)


def attribute_names(op_type: str) -> tuple[str, ...]:
    """The attributes that operators of opset 7, 14 and 22 have."""
    own = KINDS[op_type].own
    return _COMMON if own is None else (*_COMMON, own)


@dataclass(frozen=True)
class Attributes:
    """What the attributes say.

    Attributes:
        kind: the operator.
        direction: "forward", "reverse" or "bidirectional".
        activations: of each direction, in the operator's order.
        clip: bound on pre-activations, None for none.
        hidden_size: None where the node does not say.
        layout: 0 for time first, 1 for batch first.
        option: input_forget of an LSTM, linear_before_reset of a GRU.
    """

    kind: Kind
    direction: str
    activations: tuple[tuple[Activation, ...], ...]
    clip: float | None
    hidden_size: int | None
    layout: int
    option: bool

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1


def read_attributes(op_type: str, given: Mapping[str, Any], where: str = "") -> Attributes:
    """Attributes by name, None standing for one that is not there; `where` begins the messages.

    Raises:
        ValueError: an attribute that the operator does not have, or a value that it cannot have.
        TypeError: a value of the wrong type.
    """
    kind = KINDS[op_type]
    names = attribute_names(op_type)
    there = {name: value for name, value in given.items() if value is not None}
    for name in there:
        if name not in names:
            raise ValueError(f"{where}{name}: {op_type} has no such attribute, it has {', '.join(names)}")
    direction = _checks.one_of(f"{where}direction", there.get("direction", "forward"), DIRECTIONS)
    count = 2 if direction == "bidirectional" else 1
    clip = there.get("clip")
    hidden_size = there.get("hidden_size")
    return Attributes(
        kind,
        direction,
        _activations(kind, count, there, where),
        None if clip is None else _checks.positive(f"{where}clip", clip),
        None if hidden_size is None else _checks.size(f"{where}hidden_size", hidden_size),
        _checks.integer(f"{where}layout", there.get("layout", 0), 0, 1),
        kind.own is not None and _flag(f"{where}{kind.own}", there.get(kind.own, 0)),
    )


def _flag(name: str, value: object) -> bool:
    """An integer that is true unless 0, or a bool."""
    return bool(value) if isinstance(value, bool) else _checks.integer(name, value, -(2**63)) != 0


def _activations(
    kind: Kind, directions: int, there: Mapping[str, Any], where: str
) -> tuple[tuple[Activation, ...], ...]:
    each = len(kind.activations)
    names = _listed(f"{where}activations", there.get("activations", kind.activations * directions))
    if kind.name == "RNN" and directions == 1 and names == ["Tanh", "Tanh"]:
        names = ["Tanh"]  # the default of the operator's schema, which exporters write out
    if len(names) != each * directions:
        raise ValueError(
            f"{where}activations: expected {each * directions} names, {each} for each direction, got {len(names)}"
        )
    alphas, betas = (
        [
            _checks.finite(f"{where}{name}[{place}]", value)
            for place, value in enumerate(_listed(f"{where}{name}", there.get(name, ())))
        ]
        for name in ("activation_alpha", "activation_beta")
    )
    found = read_activations(where, names, alphas, betas)
    return tuple(tuple(found[k * each : (k + 1) * each]) for k in range(directions))


def _listed(name: str, values: object) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"{name}: expected a list, got {_checks.shown(values)}")
    return list(values)
