"""The implementations, one file each, and how they are found.

A file of this package has

    DISTRIBUTIONS   the packages whose versions are reported, the one that must be installed first
    start(threads)  import the library and set its threads; raises `UnavailableError` with the reason
    prepare(problem, threads) -> {variant: Candidate}; raises `UnavailableError` if the library has no such thing

Several variants mean that none is always the fastest (plain call or bound buffers, say): the fastest on the problem
at hand is the one that is timed against the others.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any

from fusedrnn.bench.problem import CHECKED_STEPS, Array, Problem, discrepancy, tolerance
from fusedrnn.bench.timing import calibrate, measure

__all__ = [
    "OURS",
    "PEERS",
    "Candidate",
    "Chosen",
    "UnavailableError",
    "WrongResultError",
    "choose",
    "installed",
    "load",
]

OURS = "fusedrnn"

_MODULES = {
    OURS: "ours",
    "torch": "pytorch",
    "onnxruntime": "onnx_runtime",
    "openvino": "open_vino",
    "jax": "jax_scan",
    "numpy": "numpy_reference",
}

PEERS: tuple[str, ...] = tuple(name for name in _MODULES if name != OURS)
"""What fusedrnn can be measured against."""


class UnavailableError(Exception):
    """The implementation is not installed or cannot do what was asked; the message says which."""


class WrongResultError(Exception):
    """The implementation does not compute what the reference does; the message says where and by how much."""


@dataclass(frozen=True)
class Candidate:
    """One way to do a problem.

    `call` does it once and returns whatever the library returns; `arrays` turns that into named arrays, as
    `Problem.expected` names them, and is not timed.
    """

    call: Callable[[], Any]
    arrays: Callable[[Any], dict[str, Array]]


@dataclass(frozen=True)
class Chosen:
    """The candidate that is timed: checked against the reference, and the fastest."""

    variant: str
    call: Callable[[], Any]
    error: float


def load(name: str) -> ModuleType:
    """The file of an implementation. Does not import the library yet.

    Raises:
        ValueError: the name is unknown; the message lists what exists.
    """
    if name not in _MODULES:
        raise ValueError(f"unknown implementation {name!r}; there are {', '.join(PEERS)}")
    return importlib.import_module(f"{__name__}.{_MODULES[name]}")


def versions(name: str) -> dict[str, str]:
    """The versions of the packages an implementation consists of, those that are installed."""
    found = {}
    for distribution in load(name).DISTRIBUTIONS:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def installed(name: str) -> bool:
    """Whether everything an implementation needs can be found; nothing is imported."""
    return all(importlib.util.find_spec(package) is not None for package in load(name).DISTRIBUTIONS)


def require(package: str, name: str | None = None) -> Any:
    """Import a peer's package or a module of it, as Any: types are checked without the peers.

    Raises:
        UnavailableError: it cannot be imported.
    """
    try:
        return importlib.import_module(name or package)
    except ImportError as error:
        raise UnavailableError(f"{package} cannot be imported ({error})") from error


def check(candidate: Candidate, problem: Problem, expected: dict[str, Array]) -> float:
    """The candidate's error, relative to the largest value; WrongResultError beyond the tolerance.

    A streaming candidate has just been made: its state is zero, and its first calls are compared.
    """
    import numpy as np

    if problem.mode == "step":
        outputs = [np.array(candidate.arrays(candidate.call())["y"]) for _ in range(CHECKED_STEPS)]
        got = {"y": np.stack(outputs)}
    else:
        got = candidate.arrays(candidate.call())
    error, where = discrepancy(got, expected)
    limit = tolerance(problem)
    if not error <= limit:
        raise WrongResultError(f"{where}: relative error {error:.1e}, tolerance {limit:.1e}")
    return error


def choose(
    candidates: dict[str, Candidate],
    problem: Problem,
    expected: dict[str, Array],
    trial_seconds: float = 0.02,
) -> Chosen:
    """Check every candidate, try those that are right for about `trial_seconds`, and take the fastest.

    Raises:
        WrongResultError: no candidate is right.
    """
    right: dict[str, Chosen] = {}
    wrong: dict[str, str] = {}
    for variant, candidate in candidates.items():
        try:
            right[variant] = Chosen(variant, candidate.call, check(candidate, problem, expected))
        except WrongResultError as error:
            wrong[variant] = str(error)
    if not right:
        raise WrongResultError("; ".join(f"{variant}: {reason}" for variant, reason in wrong.items()))
    if len(right) == 1:
        return next(iter(right.values()))
    return min(right.values(), key=lambda chosen: _trial(chosen.call, trial_seconds))


def _trial(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of a call, roughly: enough to tell variants apart. A call that is long is not repeated for it."""
    calls, first = calibrate(call, seconds)
    return first if calls == 1 else min(measure(call, calls).mean for _ in range(2))
