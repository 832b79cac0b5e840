"""One streaming step, called from Python; the state is kept from call to call."""

from __future__ import annotations

from collections.abc import Callable

from fusedrnn.bench.problem import Problem

MODE = "step"


def test_step(compare: Callable[[Problem, str], None], problem: Problem, implementation: str) -> None:
    compare(problem, implementation)
