"""Threads follow PyTorch's; memory stays flat over many shapes; fork, and imports in either order, do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

import fusedrnn as fr
import fusedrnn.torch as ours
from interpreter import needs_proc, python
from torch_there import torch


def run(code: str, **environment: str) -> str:
    result = python("-W", "error", "-c", code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_threads_follow_pytorch() -> None:
    layer, x = ours.GRU(3, 4), torch.randn(5, 2, 3)
    before = torch.get_num_threads()
    try:
        ours.follow_torch_threads()
        for threads in (3, 2):
            torch.set_num_threads(threads)
            layer(x)
            assert fr.get_num_threads() == threads
        fr.set_num_threads(5)
        with torch.inference_mode():
            layer(x), layer(x[:1])
        assert fr.get_num_threads() == 5, "a number that was set later holds"
        ours.follow_torch_threads(False)
        torch.set_num_threads(3)
        layer(x)
        assert fr.get_num_threads() == 5
    finally:
        torch.set_num_threads(before)
        ours.follow_torch_threads()
    with pytest.raises(TypeError, match="enabled: expected a bool"):
        ours.follow_torch_threads("yes")  # type: ignore[arg-type]


def test_the_environment_tells_otherwise() -> None:
    code = """
import torch, fusedrnn as fr, fusedrnn.torch
torch.set_num_threads(3)
fusedrnn.torch.GRU(3, 4)(torch.randn(5, 2, 3))
print(fr.get_num_threads())
"""
    assert run(code, FUSEDRNN_NUM_THREADS="2").strip() == "2"
    assert run(code).strip() == "3"


@pytest.mark.parametrize("first", ["fusedrnn", "torch", "fusedrnn.torch"])
def test_either_import_first(first: str) -> None:
    code = f"""
import {first}
import numpy, torch, fusedrnn, fusedrnn.torch
x = torch.randn(50, 32, 64)
theirs, mine = torch.nn.LSTM(64, 64), fusedrnn.torch.LSTM(64, 64)
mine.load_state_dict(theirs.state_dict())
torch.set_num_threads(2)
for _ in range(3):
    a, b = theirs(x)[0], mine(x)[0]
    (a.sum() + b.sum()).backward()
    torch.testing.assert_close(a, b, rtol=1.3e-5, atol=1e-5)
print("good")
"""
    assert run(code).strip() == "good"


def test_fusedrnn_does_not_import_torch() -> None:
    assert run("import sys, fusedrnn; print('torch' in sys.modules, 'fusedrnn.torch' in sys.modules)").split() == [
        "False",
        "False",
    ]


def test_without_torch_the_import_says_what_to_install() -> None:
    result = python("-c", "import sys; sys.modules['torch'] = None; import fusedrnn.torch")
    assert result.returncode != 0
    assert "pip install 'fusedrnn[torch]'" in result.stderr


@needs_proc
def test_fork_after_threads() -> None:
    code = """
import os, torch, fusedrnn.torch
torch.set_num_threads(2)
layer = fusedrnn.torch.LSTM(64, 64)
x = torch.randn(30, 32, 64)
expected = layer(x)[0].detach()
def child():
    y, _ = layer(x)
    assert torch.equal(y, expected)
    y.sum().backward()
    with torch.inference_mode():
        assert torch.equal(layer(x[:1])[0], expected[:1])
pid = os.fork()
if pid == 0:
    status = 1
    try:
        torch.set_num_threads(1)
        child()
        status = 0
    finally:
        os._exit(status)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run("import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n" + code).strip() == "0"


FLAT = """
import gc, random, torch, fusedrnn.torch
torch.set_num_threads(1)
random.seed(0)
layer, cell = fusedrnn.torch.LSTM(8, 16, 2, bidirectional=True), fusedrnn.torch.GRUCell(8, 16)
single = fusedrnn.torch.GRU(8, 16)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

def calls(count):
    for _ in range(count):
        steps, rows = random.randrange(1, 40), random.randrange(1, 12)
        x = torch.randn(steps, rows, 8)
        y, _ = layer(x)
        if random.random() < 0.5:
            y.sum().backward()
            layer.zero_grad()
        cell(x[0]).sum().backward()
        with torch.inference_mode():
            layer(x)
            single(x[:1])
            cell(x[0])

calls(300)
before = resident()
calls(1500)
print(resident() - before)
"""


@needs_proc
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_stays_flat() -> None:
    """About ten thousand calls of many shapes; a tape of the largest has 100 kB."""
    assert float(run(FLAT)) < 3


GONE = """
import gc, torch, fusedrnn.torch
torch.set_num_threads(1)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

def one():
    layer = fusedrnn.torch.LSTM(256, 256)
    layer(torch.randn(3, 1, 256))[0].sum().backward()
    with torch.inference_mode():
        layer(torch.randn(1, 1, 256))

for _ in range(5): one()
before = resident()
for _ in range(40): one()
print(resident() - before)
"""


@needs_proc
def test_weights_go_with_their_layer() -> None:
    """Packed, the weights of each of these forty layers are more than 2 MB."""
    assert float(run(GONE)) < 8
