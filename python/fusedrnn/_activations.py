"""The activations that a gate, a candidate or an output may have, by name, with their usual constants."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from fusedrnn import _checks

Choice: TypeAlias = "tuple[str, float, float]"
"""Name, alpha and beta, as the core takes them. A function without such a constant does not read it."""

Activation: TypeAlias = "str | tuple[str, float] | tuple[str, float, float]"
"""What a constructor takes: a name, or a name with its constants."""


class Constants(NamedTuple):
    """The usual values of an activation's constants; None where it has none."""

    alpha: float | None = None
    beta: float | None = None


ACTIVATIONS: Final[dict[str, Constants]] = {
    "sigmoid": Constants(),
    "tanh": Constants(),
    "relu": Constants(),
    "leaky_relu": Constants(0.01),
    "identity": Constants(),
    "affine": Constants(1.0, 0.0),
    "thresholded_relu": Constants(1.0),
    "scaled_tanh": Constants(1.0, 1.0),
    "hard_sigmoid": Constants(0.2, 0.5),
    "elu": Constants(1.0),
    "softsign": Constants(),
    "softplus": Constants(),
}
"""The eleven of ONNX with its constants, and the identity: docs/design/cells.md, section 10."""


def choice(name: str, value: object) -> Choice:
    """`value` as the core takes it: a name, or (name, alpha) or (name, alpha, beta).

    Raises:
        ValueError: an unknown name, or more constants than the function has.
        TypeError: neither a name nor such a tuple.
    """
    function, *given = value if isinstance(value, tuple) and value else (value,)
    if not isinstance(function, str):
        expected = "the name of an activation or (name, alpha, beta)"
        raise TypeError(f"{name}: expected {expected}, got {_checks.shown(value)}")
    if function not in ACTIVATIONS:
        raise ValueError(f"{name}: expected one of {', '.join(ACTIVATIONS)}, got {_checks.shown(function)}")
    usual = [constant for constant in ACTIVATIONS[function] if constant is not None]
    if len(given) > len(usual):
        raise ValueError(f"{name}: {function} has {len(usual)} constants, got {len(given)} in {_checks.shown(value)}")
    found = [_checks.finite(f"{name}[{k + 1}]", constant) for k, constant in enumerate(given)]
    alpha, beta = (*found, *usual[len(found) :], 0.0, 0.0)[:2]
    return function, alpha, beta


def choices(name: str, value: object, roles: tuple[str, ...]) -> tuple[Choice, ...]:
    """An activation for each of these roles."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name}: expected {len(roles)} activations ({', '.join(roles)}), got {_checks.shown(value)}")
    if len(value) != len(roles):
        raise ValueError(f"{name}: expected {len(roles)} activations ({', '.join(roles)}), got {len(value)}")
    return tuple(choice(f"{name}[{k}]", one) for k, one in enumerate(value))


def shown(chosen: Choice) -> Activation:
    """As a user writes it: the name alone where the constants are the usual ones."""
    function, *given = chosen
    usual = [constant for constant in ACTIVATIONS[function] if constant is not None]
    if given[: len(usual)] == usual:
        return function
    return (function, given[0]) if len(usual) == 1 else (function, given[0], given[1])
