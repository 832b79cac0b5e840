"""Whole sequences, forward."""

from __future__ import annotations

from collections.abc import Callable

from fusedrnn.bench.problem import Problem

MODE = "forward"


def test_forward(compare: Callable[[Problem, str], None], problem: Problem, implementation: str) -> None:
    compare(problem, implementation)
