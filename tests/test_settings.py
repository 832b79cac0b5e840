"""Many callers at once, and the settings of the process."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from small_layers import B, H, I, T, assert_close, assert_same, normal


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


def test_threads_context() -> None:
    before = fr.get_num_threads()
    try:
        fr.set_num_threads(2)
        with fr.threads(1):
            assert fr.get_num_threads() == 1
            with fr.threads(3):
                assert fr.get_num_threads() == 3
            assert fr.get_num_threads() == 1
        assert fr.get_num_threads() == 2
        with pytest.raises(RuntimeError, match="inside"), fr.threads(1):
            raise RuntimeError("inside")
        assert fr.get_num_threads() == 2
        again = fr.threads(4)
        with again, again:
            assert fr.get_num_threads() == 4
        assert fr.get_num_threads() == 2
    finally:
        fr.set_num_threads(before)


def test_isa_control() -> None:
    before = fr.isa()
    assert before in fr.available_isas()
    assert "scalar" in fr.available_isas()
    layer, x = fr.LSTM(I, H, rng=0, dtype=np.float64), normal(T, B, I, dtype=float)
    expected = layer(x)
    try:
        for name in fr.available_isas():
            fr.use_isa(name)
            assert fr.isa() == name
            assert_close(layer(x), expected)
    finally:
        fr.use_isa(before)
    assert_same(layer(x), expected)


def test_build_info() -> None:
    info = fr.build_info()
    documented = re.findall(r"^        ([\w, ]+):", fr.build_info.__doc__ or "", re.MULTILINE)
    assert sorted(info) == sorted(", ".join(documented).split(", "))
    assert info["isa"] in info["available_isas"]
    assert set(info["available_isas"]) <= set(info["compiled_isas"])
    assert info["num_threads"] == fr.get_num_threads()
