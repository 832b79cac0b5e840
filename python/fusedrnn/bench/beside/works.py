"""What is timed beside other work: a turn, which is our calls and those of another library that belong to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import fusedrnn
from fusedrnn.bench import implementations
from fusedrnn.bench.problem import Problem
from fusedrnn.bench.shapes import Shape

__all__ = ["PEER_THREADS", "Times", "Turn", "Work"]

PEER_THREADS = 2
"""Threads of another library's recurrent layer."""


class Times(NamedTuple):
    """Seconds of one turn: of our calls in it, and of all of it."""

    ours: float
    turn: float


Turn = Callable[[], Times]


@dataclass(frozen=True)
class Work:
    """An LSTM in float32, and what is done with it in a turn.

    `kind` is forward, train, product (train, with NumPy's product of y and a matrix of H x `columns` in between), or
    the name of a peer that runs the same layer after ours.
    """

    kind: str
    shape: Shape
    layers: int = 1
    columns: int = 0

    @property
    def label(self) -> str:
        """What a turn is, in words."""
        layers = f", {self.layers} layers" if self.layers > 1 else ""
        if self.kind == "product":
            return f"record{layers}, y @ w ({self.shape.hidden}×{self.columns}), backward"
        own = {"forward": "forward", "train": "record, backward"}
        return own.get(self.kind, f"forward, then {self.kind}'s") + layers

    @property
    def by_turns(self) -> bool:
        """Whether another library's calls are part of a turn."""
        return self.kind not in ("forward", "train")

    @property
    def counts(self) -> str:
        """The part of a turn whose ratio is the answer: "ours" or "turn".

        A product stands between our calls, and pays for what they leave running. A peer's time is its own affair.
        """
        return "turn" if self.kind == "product" else "ours"

    def turn(self) -> Turn:
        """Make layer and data; what is returned does one turn and times it.

        Raises:
            UnavailableError: the peer cannot be used.
        """
        make = {"forward": _forward, "train": _train, "product": _product}.get(self.kind, _by_turns_with_peer)
        return make(self)


def _problem(work: Work, mode: str) -> Problem:
    return Problem("lstm", work.shape, mode, "float32")


def _layer(work: Work) -> fusedrnn.LSTM:
    return fusedrnn.LSTM(work.shape.inputs, work.shape.hidden, work.layers, dtype=np.float32, rng=0)


def _alone(call: Callable[[], object]) -> Turn:
    def turn() -> Times:
        begin = perf_counter()
        call()
        seconds = perf_counter() - begin
        return Times(seconds, seconds)

    return turn


def _forward(work: Work) -> Turn:
    layer, x = _layer(work), _problem(work, "forward").x
    return _alone(lambda: layer(x))


def _train(work: Work) -> Turn:
    layer, problem = _layer(work), _problem(work, "train")
    x, dy = problem.x, problem.dy

    def step() -> Any:
        y, _, tape = layer.record(x)
        return y, tape.backward(dy)

    return _alone(step)


def _product(work: Work) -> Turn:
    layer, problem = _layer(work), _problem(work, "train")
    x, dy = problem.x, problem.dy
    w = np.random.default_rng(4).standard_normal((work.shape.hidden, work.columns), np.float32)

    def turn() -> Times:
        begin = perf_counter()
        y, _, tape = layer.record(x)
        recorded = perf_counter()
        y @ w
        multiplied = perf_counter()
        tape.backward(dy)
        end = perf_counter()
        return Times(recorded - begin + end - multiplied, end - begin)

    return turn


def _by_turns_with_peer(work: Work) -> Turn:
    layer, problem = _layer(work), _problem(work, "forward")
    layer.load_params(problem.params)
    x, peer = problem.x, implementations.load(work.kind)
    peer.start(PEER_THREADS)
    theirs = next(iter(peer.prepare(problem, PEER_THREADS).values())).call  # the plain call comes first

    def turn() -> Times:
        begin = perf_counter()
        layer(x)
        middle = perf_counter()
        theirs()
        return Times(middle - begin, perf_counter() - begin)

    return turn
