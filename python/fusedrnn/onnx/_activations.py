"""The activations of ONNX's recurrent operators: their names, and how activation_alpha and activation_beta are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fusedrnn import _checks
from fusedrnn._activations import ACTIVATIONS, Activation, choice, shown

NAMES: Final[dict[str, str]] = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Affine": "affine",
    "LeakyRelu": "leaky_relu",
    "ThresholdedRelu": "thresholded_relu",
    "ScaledTanh": "scaled_tanh",
    "HardSigmoid": "hard_sigmoid",
    "Elu": "elu",
    "Softsign": "softsign",
    "Softplus": "softplus",
}
"""ONNX's names, and a layer's. The usual constants of a layer's activations are the defaults of ONNX's operators of the
same names."""

_BY_LOWER_CASE: Final = {theirs.lower(): ours for theirs, ours in NAMES.items()}


def read_activations(
    where: str, names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Activation]:
    """The activations in the order of `names`, each with its constants.

    An activation that has an alpha takes the next value of `alphas`, or its default when none is left; so for beta. One
    that has none takes nothing. `where` begins the messages.

    Raises:
        ValueError: an unknown name, or values that no activation takes.
    """
    found: list[Activation] = []
    left = (list(alphas), list(betas))
    for name in names:
        ours = _known(where, name)
        constants = [
            float(values.pop(0)) if values else default
            for values, default in zip(left, ACTIVATIONS[ours], strict=True)
            if default is not None
        ]
        found.append(shown(choice(f"{where}activations", (ours, *constants))))
    for attribute, given, rest in zip(("activation_alpha", "activation_beta"), (alphas, betas), left, strict=True):
        if rest:
            raise ValueError(
                f"{where}{attribute}: expected at most {len(given) - len(rest)} values, one for each of "
                f"{', '.join(names)} that takes one, got {len(given)}"
            )
    return found


def _known(where: str, name: object) -> str:
    """A layer's name of an activation; capitals do not count, since exporters differ."""
    found = _BY_LOWER_CASE.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"{where}activations: expected any of {', '.join(NAMES)}, got {_checks.shown(name)}")
    return found


def written_activations(chosen: Sequence[Activation]) -> tuple[list[str], list[float], list[float]]:
    """The values of activations, activation_alpha and activation_beta for those of a layer: the way back."""
    theirs = {ours: name for name, ours in NAMES.items()}
    names: list[str] = []
    constants: tuple[list[float], list[float]] = ([], [])
    for one in chosen:
        ours, *values = choice("activations", one)
        if ours == "identity":
            ours, values = "affine", [1.0, 0.0]
        names.append(theirs[ours])
        for into, usual, value in zip(constants, ACTIVATIONS[ours], values, strict=True):
            if usual is not None:
                into.append(value)
    return names, *constants
