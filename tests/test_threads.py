"""Threads: that they run, that many callers at once, fork, oversubscription and PyTorch beside them break nothing, and
that the floating point state of the caller comes back.

What must not touch this process, or must see it fresh, runs in one of its own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from problems import (
    Problem,
    check_all_same_bits,
    check_same_bits,
    every_dtype,
    every_kind,
    forward,
    record,
    teams,
)
from test_bitwise import SPLITS
from tolerances import check_float64, check_same_numbers

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

PRELUDE = """
import os, sys
import numpy as np
import fusedrnn as fr
from problems import Problem, check_all_same_bits, check_same_bits, forward, record, teams
threads = lambda: len(os.listdir("/proc/self/task"))
"""
ENVIRONMENT = {  # one thread each, so that what is counted is ours
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
}


def run(code: str, timeout: float = 120, **environment: str) -> str:
    """What a fresh Python prints; it must end well, and in time."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env={**os.environ, **ENVIRONMENT, **environment},
    )
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stderr}"
    return result.stdout


# That threads run


@needs_proc
@pytest.mark.parametrize("problem", [pytest.param(p, id=f"{by}: {p}") for by, ps in SPLITS.items() for p in ps[:2]])
@pytest.mark.parametrize("count", [2, 4])
def test_a_team_runs(problem: Problem, count: int) -> None:
    """The problems whose bits test_bitwise.py compares do start threads: all of them, or two for two directions."""
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


# Many callers


@every_kind
@pytest.mark.parametrize("team", [1, 2])
def test_one_layer_for_many_callers(kind: str, team: int) -> None:
    """Forward, recorded and backward at once, of shapes that differ, some large enough for a team."""
    problems = [
        Problem(kind, steps=3 + n % 5, batch=1 + n % 4, inputs=33, hidden=65, lengths=("none", "ragged")[n % 2])
        for n in range(12)
    ] + [Problem(kind, steps=12, batch=24, inputs=33, hidden=65) for _ in range(4)]
    layer = problems[0].fused()

    def work(problem: Problem) -> Any:
        return forward(problem, layer, np.float32), *record(problem, layer, np.float32)

    with fr.threads(1):
        expected = [work(problem) for problem in problems]
    with fr.threads(team), ThreadPoolExecutor(8) as pool:
        for result, alone in zip(pool.map(work, problems * 4), expected * 4, strict=True):
            for ours, theirs in zip(result, alone, strict=True):
                check_all_same_bits(ours, theirs)


def test_parameters_may_change_while_others_call() -> None:
    """A call sees the weights as they were at one moment: assigned at once, all of one value."""
    problem = Problem("gru", steps=4, batch=2, inputs=5, hidden=17)
    layer = problem.fused()
    first = {name: array.copy() for name, array in layer.params.items()}
    second = {name: array * np.float32(0.5) for name, array in first.items()}
    x, expected = problem.x(np.float32), []
    for values in (first, second):
        layer.params["weight_ih_l0"] = values["weight_ih_l0"]
        expected.append(layer(x)[0].tobytes())
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            layer.params["weight_ih_l0"] = first["weight_ih_l0"]
            layer.params["weight_ih_l0"] = second["weight_ih_l0"]

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(300):
            assert layer(x)[0].tobytes() in expected
    finally:
        stop.set()
        changer.join()


def test_the_gil_is_released() -> None:
    """Another Python thread moves on while a long call runs."""
    problem = Problem("lstm", steps=400, batch=32, inputs=128, hidden=256)
    layer, x = problem.fused(), problem.x(np.float32)
    layer(x[:1])
    moved = threading.Event()
    running = threading.Event()

    def other() -> None:
        running.wait()
        moved.set()

    helper = threading.Thread(target=other)
    helper.start()
    with fr.threads(1):
        # The helper wakes only if it gets the GIL, and by default Python would not give it up by itself for 5 ms; here
        # not for a minute, so only the call can.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(60)
        try:
            running.set()
            layer(x)
            assert moved.is_set()
        finally:
            sys.setswitchinterval(interval)
            helper.join()


SMALL, LARGE = fr.LSTM(4, 8, rng=0), fr.LSTM(512, 1024, rng=0)
SMALL_CELL, LARGE_CELL = fr.LSTMCell(4, 8, rng=0), fr.LSTMCell(512, 1024, rng=0)


def zeros(layer: Any, *shape: int) -> np.ndarray:
    return np.zeros((*shape, layer.input_size), np.float32)


def step_of(layer: Any) -> Callable[[], Any]:
    stream, x = layer.stream(1), zeros(layer, 1)
    return lambda: stream.step(x)


def call_of(layer: Any) -> Callable[[], Any]:
    x = zeros(layer, 2, 1)
    return lambda: layer(x)


def cell_of(cell: Any) -> Callable[[], Any]:
    x = zeros(cell, 1)
    return lambda: cell(x)


def record_of(layer: Any) -> Callable[[], Any]:
    x = zeros(layer, 2, 1)
    return lambda: layer.record(x)


def backward_of(layer: Any) -> Callable[[], Any]:
    y, _, tape = layer.record(zeros(layer, 2, 1))
    return lambda: tape.backward(y)


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize(
    ("prepare", "layers"),
    [
        (step_of, (SMALL, LARGE)),
        (call_of, (SMALL, LARGE)),
        (cell_of, (SMALL_CELL, LARGE_CELL)),
        (record_of, (SMALL, LARGE)),
        (backward_of, (SMALL, LARGE)),
    ],
)
def test_only_long_work_lets_go_of_the_gil(
    prepare: Callable[[Any], Callable[[], Any]], layers: tuple[Any, Any], long: bool
) -> None:
    """Taking the GIL back from a busy thread lasts 5 ms: what takes microseconds does not let go of it."""
    # The helper is slow to wake: long work gives it time, short work that let go of the GIL would give it many chances.
    works = [prepare(layers[long]) for _ in range(20 if long else 5000)]
    moved, running = threading.Event(), threading.Event()

    def other() -> None:
        running.wait()
        moved.set()

    helper = threading.Thread(target=other)
    helper.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # only what is called can let the helper run
    try:
        running.set()
        for work in works:
            work()
        assert moved.is_set() == long
    finally:
        sys.setswitchinterval(interval)
        helper.join()


@pytest.mark.parametrize("hidden", [8, 512])
def test_a_stream_shared_by_threads_goes_on(hidden: int) -> None:
    """Short and long steps, with readers and writers of the state: nobody waits for another for ever."""
    code = f"""
import threading
fr.set_num_threads(1)
sys.setswitchinterval(1e-5)
stream, x = fr.LSTM(16, {hidden}, rng=0).stream(2), np.zeros((2, 16), np.float32)
state = stream.state
def step():
    for _ in range(1000): stream.step(x)
def write():
    for _ in range(300):
        stream.state = state
        stream.reset()
        stream.state
workers = [threading.Thread(target=work) for work in (step, write, step, write)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print("done")
"""
    assert run(code).split() == ["done"]


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


# fork


@needs_fork
@needs_proc
def test_fork_after_threads() -> None:
    """The child of a process that used a team has none of its threads: it makes its own."""
    code = """
import traceback, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
fr.set_num_threads(2)
fr._core.set_team_mode("fixed")
problem = Problem("lstm", steps=20, batch=32, inputs=64, hidden=64, layers=2, bidirectional=True)
narrow = Problem("gru", steps=20, batch=1, inputs=64, hidden=300)
layers = {p: p.fused() for p in (problem, narrow)}
expected = {p: record(p, layer, np.float32) for p, layer in layers.items()}
assert threads() == 2, threads()
def same():
    for p, layer in layers.items():
        for ours, theirs in zip(record(p, layer, np.float32), expected[p]):
            check_all_same_bits(ours, theirs)
def child():
    assert threads() == 1, threads()
    same()
    assert threads() == 2, threads()
    stream = narrow.fused().stream(1)
    stream.step(narrow.x(np.float32)[0])
    fr.set_num_threads(4)
    same()
    assert threads() == 4, threads()
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            grandchild = os.fork()
            if grandchild == 0:
                same()
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
same()
assert threads() == 2, threads()
print("done")
"""
    assert run(code).split() == ["done"]


FORK_BESIDE = """
import signal, threading, time, traceback, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
def fork_beside(busy, child, forks=25):
    stop = threading.Event()
    def loop():
        while not stop.is_set(): busy()
    other = threading.Thread(target=loop)
    other.start()
    try:
        for n in range(forks):
            time.sleep(n * 7 % 11 * 1e-3)
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)  # ends one that waits for ever
                status = 1
                try:
                    child()
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert status == 0, f"child {n}: {status}"
    finally:
        stop.set()
        other.join()
    print("done")
fr.set_num_threads(1)
layer, x = fr.LSTM(256, 1024, rng=0), np.ones((2, 3, 256), np.float32)
weight = layer.params["weight_hh_l0"]
def fresh():
    return fr.functional.lstm(x, *layer.params.values())[0]
"""


@needs_fork
@pytest.mark.parametrize(
    ("busy", "child"),
    [
        pytest.param("layer(x)", "check_same_bits('y', layer(x)[0], expected)", id="call"),
        pytest.param("weight[0, 0] += 1; layer(x)", "check_same_bits('y', layer(x)[0], fresh())", id="packing"),
        pytest.param(
            "weight[0, 0] += 1; layer.record(x)[-1].backward(expected)",
            "y, _, tape = layer.record(x); check_same_bits('y', y, fresh()); tape.backward(expected)",
            id="training",
        ),
        pytest.param(
            "weight[0, 0] += 1; layer(x)",
            "other = fr.GRU(8, 16, rng=1); other.stream(1).step(np.zeros((1, 8), np.float32)); other(x[..., :8])",
            id="another layer",
        ),
    ],
)
def test_fork_beside_a_call(busy: str, child: str) -> None:
    """A child may use a layer that another thread of its parent was using, half-packed weights or not."""
    code = f"""
expected = layer(x)[0]
def busy():
    {busy}
def child():
    {child}
fork_beside(busy, child)
"""
    assert run(FORK_BESIDE + code).split() == ["done"]


@needs_fork
def test_fork_beside_a_stream() -> None:
    """The child goes on from before or after the step in progress, with all of the state: here c counts the steps."""
    code = """
for array in layer.params.values(): array[...] = 0
layer.params["bias_ih_l0"][...] = 200  # every gate is 1
stream, zeros = layer.stream(2), np.zeros((2, 256), np.float32)
def child():
    _, c = stream.state
    assert (c == c[0, 0, 0]).all()
    for more in (1, 2):
        h = stream.step(zeros)
        check_same_bits("c", stream.state[1], c + np.float32(more))
    stream.reset()
    stream.state = (np.zeros_like(c), c)
fork_beside(lambda: stream.step(zeros), child, 60)
"""
    assert run(FORK_BESIDE + code).split() == ["done"]


@needs_fork
@needs_proc
def test_fork_before_threads() -> None:
    """A child that forks before its parent ran anything (a server's worker) has threads like any process."""
    code = """
fr._core.set_team_mode("fixed")
pid = os.fork()
fr.set_num_threads(2)
problem = Problem("lstm", steps=20, batch=32, inputs=64, hidden=64)
forward(problem, problem.fused(), np.float32)
assert threads() == 2, threads()
if pid == 0:
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print("done")
"""
    assert run(code).split() == ["done"]


@needs_fork
def test_fork_inside_a_call() -> None:
    """A signal's handler that forks while a team computes: the parent goes on, the child is told that it cannot."""
    code = """
import signal, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
fr.set_num_threads(2)
fr._core.set_team_mode("fixed")
layer, x = fr.LSTM(64, 512, rng=0), np.ones((4000, 1, 64), np.float32)
children = []
def handler(signum, frame):
    children.append(os.fork())
signal.signal(signal.SIGALRM, handler)
expected = layer(x[:50])[0]
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    y = layer(x)[0]
except RuntimeError as error:
    assert "forked" in str(error) and children == [0], (error, children)
    check_same_bits("y", layer(x[:50])[0], expected)
    os._exit(0)
check_same_bits("y", y[:50], expected)
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
print("done")
"""
    assert run(code).split() == ["done"]


@needs_fork
def test_multiprocessing_pool() -> None:
    code = """
import multiprocessing, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
problem = Problem("gru", steps=20, batch=32, inputs=64, hidden=64)
layer = problem.fused()
def work(n):
    return forward(problem, layer, np.float32)["y"]
if __name__ == "__main__":
    fr.set_num_threads(2)
    expected = work(0)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        for y in pool.map(work, range(6)):
            check_same_bits("y", y, expected)
    print("done")
"""
    assert run(code).split() == ["done"]


# PyTorch's own OpenMP


@pytest.mark.parametrize("first", ["torch", "fusedrnn"])
def test_beside_torch(first: str) -> None:
    """Both OpenMP runtimes in one process, in either order, used in turn and from two Python threads at once."""
    if importlib.util.find_spec("torch") is None:
        assert not os.environ.get("CI"), "CI installs torch"
        pytest.skip("torch is not installed")
    other = "fusedrnn" if first == "torch" else "torch"
    code = f"""
import sys
import {first}
import {other}
sys.path[:0] = {[str(Path(__file__).parent)]!r}
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
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["done"]
    assert "Error" not in result.stderr


# Denormal numbers


def denormals_work(dtype: Any) -> None:
    """NumPy's arithmetic here keeps numbers below the smallest normal one, read and written."""
    tiny = np.full(64, np.finfo(dtype).tiny, dtype)
    half = tiny * dtype(0.5)
    assert (half > 0).all()
    assert (half * dtype(2) == tiny).all()
    assert (half + half == tiny).all()


@every_dtype
@every_kind
@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_arithmetic_keeps_denormals(kind: str, threads: int, dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=20, batch=16, inputs=33, hidden=65, lengths="ragged")
    layer = problem.fused(dtype)
    denormals_work(dtype)
    with fr.threads(threads):
        *_, tape = layer.record(problem.x(dtype), **problem.arguments(dtype))
        denormals_work(dtype)
        dy, dstate = problem.gradients(dtype)
        tape.backward(dy, dstate)
        denormals_work(dtype)
        layer(problem.x(dtype))
        stream = layer.stream(16)
        stream.step(problem.draw("x", 16, 33).astype(dtype))
        denormals_work(dtype)
        for function in ("exp", "tanh", "sigmoid"):
            fr._core.evaluate(function, np.ones(3, dtype))
        denormals_work(dtype)


def test_the_callers_arithmetic_keeps_denormals_after_an_error() -> None:
    layer = Problem().fused()
    calls: list[Callable[[], Any]] = [
        lambda: layer(np.zeros((1, 2, 3), np.float32)),
        lambda: layer.record(np.zeros((5, 3, 4), np.float32), lengths=[9, 9, 9]),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"x|lengths"):
            call()
        denormals_work(np.float32)


@every_dtype
@every_kind
def test_denormal_input_is_as_good_as_zero(kind: str, dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=9, batch=7, inputs=5, hidden=17)
    layer = problem.fused(dtype)
    smallest = np.finfo(dtype).smallest_subnormal
    signs = np.sign(problem.x(dtype))
    check = check_float64 if dtype is np.float64 else check_same_numbers
    ours = layer.record(signs * smallest * dtype(1000))
    zeros = layer.record(np.zeros_like(signs))
    check("y", ours[0], zeros[0])
    dy = problem.gradients(dtype)[0]
    assert dy is not None
    one, other = ours[-1].backward(dy), zeros[-1].backward(dy)
    check("d x", one.x, other.x)
    check("d bias", one.params["bias_ih_l0"], other.params["bias_ih_l0"])
    tiny_state = np.full((1, 7, problem.hidden), smallest, dtype)
    if kind == "gru":
        check("y", layer(np.zeros_like(signs), tiny_state)[0], zeros[0])


@every_dtype
def test_a_state_that_fades_reaches_zero(dtype: Any, isa: str) -> None:
    """An identity network that halves its state passes the smallest normal number and is zero after it, not slow."""
    layer = fr.RNN(1, 17, nonlinearity="identity", bias=False, dtype=dtype)
    layer.params["weight_ih_l0"][...] = 0
    layer.params["weight_hh_l0"][...] = np.eye(17) / 2
    steps = 1100 if dtype is np.float64 else 160
    y, _ = layer(np.zeros((steps, 1, 1), dtype), np.ones((1, 1, 17), dtype))
    exact = 0.5 ** np.arange(1, steps + 1, dtype=np.float64)
    normal = exact >= np.finfo(dtype).tiny
    assert 0 < normal.sum() < steps
    np.testing.assert_array_equal(y[normal, 0, 0], exact[normal].astype(dtype))
    assert not y[~normal].any()
    check_same_bits("all units", y, np.repeat(y[:, :, :1], 17, axis=2))
