"""fork: a child process has none of its parent's threads, and may use what they were using."""

from __future__ import annotations

import os

import pytest

from interpreter import needs_proc, run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


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
try:
    while not children:  # a machine so fast that the call ends before the timer calls again
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        y = layer(x)[0]
        signal.setitimer(signal.ITIMER_REAL, 0)
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
