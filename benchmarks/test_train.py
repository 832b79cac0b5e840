"""Whole sequences, forward and backward: y, and the gradients of x and of every parameter."""

from __future__ import annotations

from collections.abc import Callable

from fusedrnn.bench.problem import Problem

MODE = "train"


def test_train(compare: Callable[[Problem, str], None], problem: Problem, implementation: str) -> None:
    compare(problem, implementation)
