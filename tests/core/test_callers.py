"""Many Python threads that call at once: right results, no deadlock, and the GIL released where that is worth it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from interpreter import run
from kinds import every_kind
from problems import Problem, check_all_same_bits, forward, record
from small_layers import H, I, assert_same, normal

# Networks and parameters


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


def test_streams_and_parameters_from_many_threads() -> None:
    def work(seed: int) -> tuple[np.ndarray, np.ndarray]:
        layer, x = fr.GRU(I, 17, rng=seed), normal(20, 2, I, seed=seed)
        for array in layer.params.values():
            array *= 0.5
        stream = layer.stream(2)
        return np.stack([stream.step(step) for step in x]), layer(x)[0]

    with ThreadPoolExecutor(8) as pool:
        for streamed, called in pool.map(work, range(32)):
            assert_same(streamed, called)


def test_a_stream_shared_by_threads_cannot_lock_up() -> None:
    """While NumPy copies a mask that is not contiguous other threads run, and may want the same stream."""
    code = """
import threading, numpy as np, fusedrnn as fr
stream, mask = fr.GRU(2, 3).stream(4000), np.zeros(8000, bool)[::2]
def reset():
    for _ in range(2000): stream.reset(mask)
def read():
    for _ in range(2000): stream.state
threads = [threading.Thread(target=work) for work in (reset, read, reset, read)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_daemon_thread_inside_a_call_does_not_abort_the_exit() -> None:
    code = """
import threading, time, numpy as np, fusedrnn as fr
fr.set_num_threads(1)
layer, x = fr.LSTM(64, 128), np.ones((200, 8, 64), np.float32)
def loop():
    while True: layer(x)
threading.Thread(target=loop, daemon=True).start()
time.sleep(0.2)
"""
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", code], check=False, timeout=60, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr


def test_weights_changed_while_they_are_packed_are_packed_again() -> None:
    """Changed and changed back: what is packed must not pass for what was there before and after."""
    layer, x = fr.LSTM(256, 256, rng=0), np.ones((2, 1, 256), np.float32)
    weight = layer.params["weight_hh_l0"]
    before = weight.copy()
    with fr.threads(1):
        for trial in range(60):
            layer.params["bias_ih_l0"][0] = trial  # so that the next call packs
            call = threading.Thread(target=layer, args=(x,))
            call.start()
            time.sleep(2e-5 * trial)
            weight *= 0.5
            call.join()
            weight[...] = before
            assert_same(layer(x)[0], fr.functional.lstm(x, *layer.params.values())[0])


def test_parameters_assigned_by_several_threads_are_all_there() -> None:
    names = ["weight_ih_l0", "weight_hh_l0"]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(150):
            layer = fr.RNN(I, H)
            last: dict[str, np.ndarray] = {}

            def assign(name: str, layer: Any = layer, last: Any = last) -> None:
                for value in range(30):
                    last[name] = np.full(layer.params.shapes[name], value, np.float32)
                    layer.params[name] = last[name]

            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(assign, names))
            assert all(layer.params[name] is last[name] for name in names)
    finally:
        sys.setswitchinterval(interval)


# The GIL


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
