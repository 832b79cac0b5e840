"""pytest-benchmark comparisons: one group per mode, cell and shape, one entry per implementation.

    pytest benchmarks --benchmark-only -k "lstm and tagging-64"
    FUSEDRNN_BENCH_THREADS=2 pytest benchmarks/test_train.py --benchmark-only -k "gru and vad-128 and not numpy"

Names, shapes and set-ups are those of `python -m fusedrnn bench`, which is the better instrument for figures: it
alternates between the implementations and gives each a process of its own. Here all share one, so leave idle libraries
out (`-k`) where it matters. Without pytest-benchmark nothing is collected; a peer that is missing is skipped.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterable
from functools import lru_cache

THREADS = int(os.environ.get("FUSEDRNN_BENCH_THREADS", "1"))
if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) >= THREADS:
    # Before NumPy: thread pools are made as large as the CPUs that their process may use.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-THREADS:])

import pytest  # noqa: E402

from fusedrnn.bench import implementations, machine  # noqa: E402
from fusedrnn.bench.problem import CELLS, Array, Problem  # noqa: E402
from fusedrnn.bench.shapes import SHAPES  # noqa: E402

PLUGIN = importlib.util.find_spec("pytest_benchmark") is not None
collect_ignore_glob = [] if PLUGIN else ["test_*.py"]

for name, value in machine.worker_environment(THREADS, None).items():
    os.environ.setdefault(name, value)


def pytest_report_header() -> str:
    if not PLUGIN:
        return "benchmarks: nothing is collected without pytest-benchmark (pip install '.[bench]')"
    return f"benchmarks: {THREADS} thread(s) (FUSEDRNN_BENCH_THREADS), CPUs {machine.affinity()}, {machine.cpu_model()}"


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:  # the peers' warnings are not ours to fix
        item.add_marker(pytest.mark.filterwarnings("default"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every problem for every implementation, implementations side by side; the module says its mode."""
    if "problem" not in metafunc.fixturenames:
        return
    mode = metafunc.module.MODE
    problems = [Problem(cell, shape, mode, "float32") for cell in CELLS for shape in SHAPES]
    if mode == "step":  # no T, and one direction
        problems = [problem for problem in problems if problem.shape.directions == 1]
        problems = list(
            {(p.cell, p.shape.batch, p.shape.inputs, p.shape.hidden): p for p in reversed(problems)}.values()
        )
        problems.reverse()
    names = (implementations.OURS, *implementations.PEERS)
    metafunc.parametrize(
        ("problem", "implementation"),
        [
            pytest.param(problem, name, id=f"{problem.cell}-{problem.shape.name}-{name}")
            for problem in problems
            for name in names
        ],
    )


@lru_cache(maxsize=1)
def expected(problem: Problem) -> dict[str, Array]:
    """What the implementations of one problem are all checked against, computed once."""
    return problem.expected()


@pytest.fixture
def compare(benchmark: Callable[..., object]) -> Callable[[Problem, str], None]:
    """Set up, check against the reference, then time."""

    def run(problem: Problem, name: str) -> None:
        if name != implementations.OURS and not implementations.installed(name):
            pytest.skip(f"{name} is not installed")
        module = implementations.load(name)
        try:
            module.start(THREADS)
            candidates = module.prepare(problem, THREADS)
            chosen = implementations.choose(candidates, problem, expected(problem))
        except implementations.UnavailableError as error:
            pytest.skip(f"{name}: {error}")
        benchmark.group = f"{problem.mode} {problem.cell} {problem.shape.name} ({problem.shape.label})"
        benchmark.extra_info.update(
            variant=chosen.variant, error=chosen.error, threads=THREADS, versions=implementations.versions(name)
        )
        benchmark(chosen.call)

    return run
