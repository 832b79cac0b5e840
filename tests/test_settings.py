"""Many callers at once, and the settings of the process."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

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
