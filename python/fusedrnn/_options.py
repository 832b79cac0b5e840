"""The options of layers: one list of them, their checks, and which of them go together.

`OPTIONS` is what a layer's attributes, its `repr`, the table of docs/howto/variants.md and the tests are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, NamedTuple

from fusedrnn import _checks
from fusedrnn._activations import choice, choices, shown

ALL = ("lstm", "gru", "rnn")
CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "lstm": ("gates", "candidate", "output"),
    "gru": ("gates", "candidate"),
}


class Option(NamedTuple):
    """An option of a layer's constructor.

    Attributes:
        name, default: as the constructor has them.
        cells: which cells have it.
        check: a function of the name and the value given, which returns the value that the layer keeps.
        changes: "cell" where it changes the equations of a step, "record" where it only acts while a tape is
            recorded, "network" where it changes what stands around the cells.
        what: the equation or a few words, for the table.
        source: who described it.
    """

    name: str
    default: Any
    cells: tuple[str, ...]
    check: Callable[[str, object], Any]
    changes: str
    what: str
    source: str = ""


def _optional(check: Callable[[str, object], Any], name: str, value: object) -> Any:
    return None if value is None else check(name, value)


def _one_of(names: tuple[str, ...], name: str, value: object) -> str:
    return _checks.one_of(name, value, names)


def _activations(cell: str, name: str, value: object) -> Any:
    return tuple(shown(one) for one in choices(name, value, ROLES[cell]))


def _activation(name: str, value: object) -> Any:
    return shown(choice(name, value))


def _zoneout(name: str, value: object) -> Any:
    if not isinstance(value, (tuple, list)):
        return _checks.probability(name, value)
    if len(value) != 2:
        raise ValueError(f"{name}: expected a number or a pair (h, c), got {len(value)} items")
    h, c = (_checks.probability(f"{name} ({part})", one) for part, one in zip("hc", value, strict=True))
    return h if h == c else (h, c)


def _dilation(name: str, value: object) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_checks.size(f"{name}[{k}]", one) for k, one in enumerate(value))
    return _checks.size(name, value)


OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "activations",
        ("sigmoid", "tanh", "tanh"),
        ("lstm",),
        partial(_activations, "lstm"),
        "cell",
        "the functions of the gates, the candidate and the output, each with its constants",
        "ONNX operators LSTM and GRU",
    ),
    Option(
        "activations",
        ("sigmoid", "tanh"),
        ("gru",),
        partial(_activations, "gru"),
        "cell",
        "the functions of the gates and the candidate, each with its constants",
        "ONNX operators LSTM and GRU",
    ),
    Option(
        "nonlinearity",
        "tanh",
        ("rnn",),
        _activation,
        "cell",
        "the function of the output, with its constants; the first five of the list below are plain kernels",
        "ONNX operator RNN",
    ),
    Option(
        "reverse_activations",
        None,
        ("lstm",),
        partial(_optional, partial(_activations, "lstm")),
        "cell",
        "those of the reverse direction of a bidirectional layer",
        "ONNX operators LSTM and GRU",
    ),
    Option(
        "reverse_activations",
        None,
        ("gru",),
        partial(_optional, partial(_activations, "gru")),
        "cell",
        "those of the reverse direction of a bidirectional layer",
        "ONNX operators LSTM and GRU",
    ),
    Option(
        "reverse_nonlinearity",
        None,
        ("rnn",),
        partial(_optional, _activation),
        "cell",
        "that of the reverse direction of a bidirectional layer",
        "ONNX operator RNN",
    ),
    Option(
        "clip",
        None,
        ALL,
        partial(_optional, _checks.positive),
        "cell",
        "a bound on every pre-activation (O3)",
        "ONNX",
    ),
    Option(
        "cell_clip",
        None,
        ("lstm",),
        partial(_optional, _checks.positive),
        "cell",
        "a bound on c (O6)",
        "Sak et al. 2014",
    ),
    Option("peephole", False, ("lstm",), _checks.boolean, "cell", "the gates see c (O4), (O7)", "Gers et al. 2002"),
    Option("coupled", False, ("lstm",), _checks.boolean, "cell", "CIFG: f = 1 - i (O5)", "Greff et al. 2017"),
    Option(
        "reset_after",
        True,
        ("gru",),
        _checks.boolean,
        "cell",
        "False: the reset gate multiplies h before the product (B1), (B2)",
        "Cho et al. 2014",
    ),
    Option(
        "minimal",
        False,
        ("gru",),
        _checks.boolean,
        "cell",
        "MGU: one gate f in place of r and z (O10)",
        "Zhou et al. 2016",
    ),
    Option("independent", False, ("rnn",), _checks.boolean, "cell", "IndRNN: W_hh is diagonal (O11)", "Li et al. 2018"),
    Option(
        "layer_norm",
        False,
        ALL,
        _checks.boolean,
        "cell",
        "the products, and c of an LSTM, are normalised; an RNN refuses it (O2), (O8)",
        "Ba et al. 2016",
    ),
    Option(
        "zoneout",
        0.0,
        ALL,
        _zoneout,
        "cell",
        "units keep their old h or c at random; in a call their expectation (O9)",
        "Krueger et al. 2016",
    ),
    Option(
        "learned_state",
        False,
        ALL,
        _checks.boolean,
        "cell",
        "the initial state is a parameter, also after a reset (O12)",
    ),
    Option(
        "recurrent_dropout",
        0.0,
        ALL,
        _checks.probability,
        "record",
        "one mask for all steps on the h that enters (O1)",
        "Gal and Ghahramani 2016",
    ),
    Option(
        "input_dropout",
        0.0,
        ALL,
        _checks.probability,
        "record",
        "one mask for all steps on the x of every layer (O13)",
        "Gal and Ghahramani 2016",
    ),
    Option(
        "weight_dropout",
        0.0,
        ALL,
        _checks.probability,
        "record",
        "elements of W_hh are dropped, once for all steps (O14)",
        "Merity et al. 2017",
    ),
    Option("reverse", False, ALL, _checks.boolean, "network", "one direction, from the last step to the first (S3)"),
    Option(
        "merge",
        "concat",
        ALL,
        partial(_one_of, ("concat", "sum", "mul", "ave")),
        "network",
        "how two directions become one output (O15)",
        "Keras",
    ),
    Option(
        "connection",
        None,
        ALL,
        partial(_optional, partial(_one_of, ("residual", "highway"))),
        "network",
        "what surrounds every layer but the first (O16), (O17)",
        "He et al. 2016; Srivastava et al. 2015; Zhang et al. 2016",
    ),
    Option("dilation", 1, ALL, _dilation, "network", "h of step t comes from step t - d (O18)", "Chang et al. 2017"),
)


@cache
def options_of(cell: str) -> Mapping[str, Option]:
    """The options of a cell by name."""
    return {option.name: option for option in OPTIONS if cell in option.cells}


RANDOM = ("zoneout", "recurrent_dropout", "input_dropout", "weight_dropout")
"""Those that draw masks while a tape is recorded."""

ENGINE = ("cell_clip", "clip", "coupled", "independent", "layer_norm", "minimal", "peephole", "reset_after")
"""Those that the core's general cell takes under the same names."""


class Stack(NamedTuple):
    """What else decides which options go together."""

    num_layers: int
    bidirectional: bool
    proj_size: int


def checked(cell: str, given: Mapping[str, object], stack: Stack) -> dict[str, Any]:
    """The options as a layer keeps them: every option of the cell, in the order of `OPTIONS`.

    Raises:
        ValueError: a value out of range, or options that do not go together; names both.
        TypeError: a value of the wrong type.
    """
    values = {
        name: option.default if _is_default(given[name], option.default) else option.check(name, given[name])
        for name, option in options_of(cell).items()
    }
    _check_directions(values, stack)
    _check_combinations(cell, values)
    if isinstance(given["zoneout"], (tuple, list)) and cell != "lstm":
        raise ValueError(f"zoneout: expected a number, got a pair (h, c) and {CLASSES[cell]} has no c (an LSTM has)")
    if isinstance(values["dilation"], tuple):
        count = len(values["dilation"])
        if count != stack.num_layers:
            raise ValueError(f"dilation: expected {stack.num_layers} numbers, one a layer, got {count}")
        if len(set(values["dilation"])) == 1:
            values["dilation"] = values["dilation"][0]
    return values


def _is_default(value: object, default: object) -> bool:
    """Whether a value need not be checked: the checks would take most of the time that a plain layer takes to make."""
    if type(value) is not type(default) or (isinstance(value, tuple) and not all(type(one) is str for one in value)):
        return False
    return bool(value == default)


def _check_directions(values: Mapping[str, Any], stack: Stack) -> None:
    if values["reverse"] and stack.bidirectional:
        raise ValueError("reverse: expected False with bidirectional=True, which runs both ways")
    if values["merge"] != "concat" and not stack.bidirectional:
        raise ValueError(f"merge: expected 'concat' with bidirectional=False, got {values['merge']!r}")
    for name in ("reverse_activations", "reverse_nonlinearity"):
        if values.get(name) is not None and not stack.bidirectional:
            raise ValueError(f"{name}: expected None with bidirectional=False, which has one direction")


def _check_combinations(cell: str, values: Mapping[str, Any]) -> None:
    if cell == "rnn" and values["layer_norm"]:
        raise ValueError("layer_norm: expected False with an RNN (an LSTM and a GRU have it)")
    if values.get("minimal"):
        if not values["reset_after"]:
            raise ValueError("reset_after: expected True, the default, with minimal=True, which has no reset gate")
        if values["layer_norm"]:
            raise ValueError("layer_norm: expected False with minimal=True")
    elif cell == "gru" and values["layer_norm"] and not values["reset_after"]:
        raise ValueError("layer_norm: expected False with reset_after=False")


def choices_of(cell: str, values: Mapping[str, Any], direction: int) -> tuple[tuple[str, float, float], ...]:
    """The activations of one direction, as the core's general cell takes them."""
    plain = "nonlinearity" if cell == "rnn" else "activations"
    reverse = "reverse_" + plain
    value = values[reverse] if direction == 1 and values[reverse] is not None else values[plain]
    return (choice(plain, value),) if cell == "rnn" else choices(plain, value, ROLES[cell])


def changed(cell: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that differ from their defaults."""
    return {name: values[name] for name, option in options_of(cell).items() if values[name] != option.default}


def is_plain_cell(cell: str, values: Mapping[str, Any], nonlinearities: list[str]) -> bool:
    """Whether the core's plain cells compute it; `nonlinearities` are those of the plain RNN."""
    own, different = options_of(cell), changed(cell, values)
    if not different:
        return True
    others = {name for name in different if own[name].changes == "cell"}
    others -= {"activations", "reverse_activations", "nonlinearity", "reverse_nonlinearity"}
    chosen = [choices_of(cell, values, direction) for direction in (0, 1)]
    if cell == "rnn":
        plain = chosen[0] == chosen[1] and shown(chosen[0][0]) in nonlinearities
    else:
        plain = chosen[0] == chosen[1] == choices("activations", own["activations"].default, ROLES[cell])
    return plain and not others


def is_plain(cell: str, values: Mapping[str, Any], nonlinearities: list[str]) -> bool:
    """Whether a whole layer is one plain network of the core."""
    own = options_of(cell)
    others = {name for name in changed(cell, values) if own[name].changes != "cell"} - {"reverse"}
    return not others and is_plain_cell(cell, values, nonlinearities)
