"""The settings of the process: threads, instruction set; and what build_info says of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

import fusedrnn as fr
from small_layers import B, H, I, T, assert_close, assert_same, normal


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
