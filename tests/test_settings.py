"""Many callers at once, the settings of the process, and the package from outside: commands, import, names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from entry_points import LAYERS, B, H, I, T, arrays_in, assert_close, assert_same, every_layer, normal
from fusedrnn import reference

# Many threads, settings


@every_layer
def test_one_layer_from_many_threads(kind: str) -> None:
    layer = LAYERS[kind](I, 33, num_layers=2, bidirectional=True, rng=0)
    inputs = [normal(1 + n % 7, 1 + n % 5, I, seed=n) for n in range(40)]

    def work(x: np.ndarray) -> Any:
        y, last, tape = layer.record(x)
        return layer(x), (y, last), tape.backward(y, last)

    expected = [work(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for ours, theirs in zip(pool.map(work, inputs * 3), expected * 3, strict=True):
            assert_same(arrays_in(*ours), arrays_in(*theirs))


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
    assert info
    assert all(isinstance(key, str) for key in info)


# The package


def python(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)


def test_info_command() -> None:
    result = python("-m", "fusedrnn", "info")
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["numpy"] == np.__version__
    assert fr.__version__ in lines["fusedrnn"]
    assert all(name in result.stdout for name in fr.available_isas())


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("info", "--nonsense"), ("info", "extra")])
def test_command_line_errors(arguments: tuple[str, ...]) -> None:
    result = python("-m", "fusedrnn", *arguments)
    assert result.returncode == 2
    assert "usage: python -m fusedrnn" in result.stderr


def test_bench_gets_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType

    from fusedrnn.__main__ import main

    seen: list[list[str]] = []
    bench = ModuleType("fusedrnn.bench")
    bench.main = seen.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fusedrnn.bench", bench)
    assert main(["bench", "--help", "lstm", "--repeat", "3"]) == 0
    assert seen == [["--help", "lstm", "--repeat", "3"]]


def test_bench_without_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from fusedrnn.__main__ import main

    monkeypatch.setitem(sys.modules, "fusedrnn.bench", None)
    assert main(["bench"]) == 1
    assert "fusedrnn[bench]" in capsys.readouterr().err


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer's run says nothing about time")
def test_import_stays_light() -> None:
    """The reference, its dataclasses and everything else a call does not need are left for when they are asked for."""
    code = "import numpy, sys; b = set(sys.modules); import fusedrnn; print(*sorted(set(sys.modules) - b))"
    loaded = set(python("-c", code).stdout.split())
    assert not {name for name in loaded if name.startswith(("fusedrnn.reference", "fusedrnn.__main__", "argparse"))}
    assert not {"dataclasses", "inspect", "importlib.metadata"} & loaded


def test_every_public_name_is_there_and_documented() -> None:
    for name in fr.__all__:
        assert name in dir(fr)
        assert getattr(fr, name).__doc__
    assert fr.reference is reference
    with pytest.raises(AttributeError, match="nonsense"):
        _ = fr.nonsense  # type: ignore[attr-defined]
