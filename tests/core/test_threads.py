"""Teams of threads: that they run, and that oversubscription, a missing thread, rounding modes and PyTorch beside them
break nothing. Equal bits on any number of threads: test_bitwise.py.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import fusedrnn as fr
from interpreter import needs_proc, python, run
from problems import Problem, check_all_same_bits, record, teams
from splits import SPLITS


@needs_proc
@pytest.mark.parametrize("problem", [pytest.param(p, id=f"{by}: {p}") for by, ps in SPLITS.items() for p in ps[:2]])
@pytest.mark.parametrize("count", [2, 4])
def test_a_team_runs(problem: Problem, count: int) -> None:
    """The calls whose bits test_bitwise.py compares do start threads: all of them, or two for two directions."""
    by_direction = any(problem in problems for by, problems in SPLITS.items() if by == "directions")
    code = f"""
fr.set_num_threads({count})
fr._core.set_team_mode("fixed")
problem = {problem!r}
layer = problem.fused()
alone = threads()
forward(problem, layer, np.float32)
print(alone, threads())
record(problem, layer, np.float32)
print(alone, threads())
"""
    for line in run(code).splitlines():
        before, after = map(int, line.split())
        assert before == 1
        assert after == (2 if by_direction else count)


@needs_proc
def test_small_work_stays_on_one_thread() -> None:
    code = """
fr.set_num_threads(4)
problem = Problem("lstm", steps=5, batch=2, inputs=16, hidden=16)
layer = problem.fused()
forward(problem, layer, np.float32); record(problem, layer, np.float32)
stream = layer.stream(2); stream.step(problem.x(np.float32)[0])
print(threads())
"""
    assert run(code).split() == ["1"]


@needs_proc
def test_one_thread_is_one() -> None:
    code = """
fr.set_num_threads(1)
problem = Problem("lstm", steps=20, batch=64, inputs=64, hidden=128)
record(problem, problem.fused(), np.float32)
print(threads())
"""
    assert run(code).split() == ["1"]


@pytest.mark.parametrize("kind", ["lstm", "lstm proj"])
def test_more_threads_than_processors_finish(kind: str) -> None:
    """Barriers that spin would never meet where their partners do not run."""
    problem = Problem(kind, steps=200, batch=1, inputs=33, hidden=300)
    layer = problem.fused()
    with fr.threads(1):
        expected = record(problem, layer, np.float32)
    for threads, mode in ((4, "fixed"), (16, "fixed"), (4, "random"), (4, "adaptive")):
        with fr.threads(threads), teams(mode):
            for ours, theirs in zip(record(problem, layer, np.float32), expected, strict=True):
                check_all_same_bits(ours, theirs, f"on {threads} threads, {mode}")


@needs_proc
def test_a_thread_count_beyond_reason_works() -> None:
    code = """
problem = Problem("lstm", steps=40, batch=3, inputs=64, hidden=256)
layer = problem.fused()
with fr.threads(1):
    expected = forward(problem, layer, np.float32)
with fr.threads(200), teams("fixed"):
    check_all_same_bits(forward(problem, layer, np.float32), expected)
print("equal")
"""
    assert run(code).split() == ["equal"]


def test_teams_shrink_beside_a_busy_process() -> None:
    """The bits stay when the machine, not a test, takes threads away from a team."""
    problems = [
        Problem("lstm", steps=100, batch=1, inputs=64, hidden=256),
        Problem("gru", steps=60, batch=16, inputs=33, hidden=64, layers=2),
        Problem("lstm", steps=150, batch=1, inputs=33, hidden=64, layers=4),
    ]
    layers = [problem.fused() for problem in problems]
    with fr.threads(1):
        expected = [record(p, layer, np.float32) for p, layer in zip(problems, layers, strict=True)]
    code = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        with fr.threads(2):
            for _ in range(20):
                for problem, layer, wanted in zip(problems, layers, expected, strict=True):
                    for ours, theirs in zip(record(problem, layer, np.float32), wanted, strict=True):
                        check_all_same_bits(ours, theirs)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_idle_threads_use_no_processor() -> None:
    code = """
import time
fr.set_num_threads(2)
problem = Problem("lstm", steps=50, batch=32, inputs=64, hidden=128)
layer = problem.fused()
with teams("fixed"):
    for _ in range(20): forward(problem, layer, np.float32)
time.sleep(0.1)
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before < 0.05)
"""
    assert run(code).split() == ["True"]


def test_a_refused_thread_is_done_without() -> None:
    """Where the system has no memory for another thread's stack the call goes on with the threads there are."""
    code = """
import resource
fr.set_num_threads(1)
problem = Problem("lstm", steps=50, batch=32, inputs=64, hidden=128)
layer = problem.fused()
expected = record(problem, layer, np.float32)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (7 << 20),) * 2)
fr.set_num_threads(4)
with teams("fixed"):
    for ours, theirs in zip(record(problem, layer, np.float32), expected):
        check_all_same_bits(ours, theirs)
print(threads())
"""
    assert run(code).split() == ["1"]


def test_threads_round_as_the_caller_does() -> None:
    """One element, one result, in any rounding mode: workers take the caller's."""
    code = """
import ctypes, ctypes.util, platform
libm = ctypes.CDLL(ctypes.util.find_library("m"))
upward = {"x86_64": 0x800, "aarch64": 0x400000}[platform.machine()]
problem = Problem("lstm", steps=20, batch=32, inputs=64, hidden=64)
layer = problem.fused()
nearest = forward(problem, layer, np.float32)
assert libm.fesetround(upward) == 0
with fr.threads(1):
    expected = forward(problem, layer, np.float32)
assert any((expected[name] != nearest[name]).any() for name in expected)
with fr.threads(2), teams("fixed"):
    check_all_same_bits(forward(problem, layer, np.float32), expected)
libm.fesetround(0)
with fr.threads(2), teams("fixed"):
    check_all_same_bits(forward(problem, layer, np.float32), nearest)
print("same")
"""
    assert run(code).split() == ["same"]


# PyTorch's own OpenMP


@pytest.mark.parametrize("first", ["torch", "fusedrnn"])
def test_beside_torch(first: str) -> None:
    """Both OpenMP runtimes in one process, in either order, used in turn and from two Python threads at once."""
    if importlib.util.find_spec("torch") is None:
        assert not os.environ.get("CI"), "CI installs torch"
        pytest.skip("torch is not installed")
    other = "fusedrnn" if first == "torch" else "torch"
    code = f"""
import {first}
import {other}
import numpy as np, torch, threading
import fusedrnn as fr
from problems import Problem, check_all_same_bits, record
fr.set_num_threads(2)
torch.set_num_threads(2)
problem = Problem("lstm", steps=20, batch=64, inputs=64, hidden=128)
layer = problem.fused()
theirs = torch.nn.LSTM(64, 128)
theirs.load_state_dict({{name: torch.from_numpy(array) for name, array in layer.params.items()}})
x = torch.from_numpy(problem.x(np.float32))
expected = record(problem, layer, np.float32)
with torch.no_grad():
    product = x[0] @ x[0].T
    y = theirs(x)[0]
def ours():
    for _ in range(5):
        for a, b in zip(record(problem, layer, np.float32), expected):
            check_all_same_bits(a, b)
def torchs():
    with torch.no_grad():
        for _ in range(5):
            assert torch.equal(theirs(x)[0], y)
ours(); torchs(); ours()
both = [threading.Thread(target=f) for f in (ours, torchs)]
for thread in both: thread.start()
for thread in both: thread.join()
assert torch.get_num_threads() == 2 and fr.get_num_threads() == 2
print("done")
"""
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["done"]
    assert "Error" not in result.stderr
