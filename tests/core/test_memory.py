"""Memory: a large call gives back what it took, and a call that gets none fails cleanly."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from interpreter import python

preloaded = pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="another allocator is loaded first")

KEPT = """
import gc, sys, threading
import numpy as np
import fusedrnn as fr

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

def four(layer, x):
    threads = [threading.Thread(target=layer, args=(x,)) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

def train(layer, x, **options):
    y, _, tape = layer.record(x, **options)
    tape.backward(y)

def checkpointed(layer, x): train(layer, x, checkpoint=50)

CASES = {
    "forward": (lambda: fr.LSTM(8, 128, 2, rng=0), lambda layer, x: layer(x)),
    "forward, four at once": (lambda: fr.LSTM(8, 128, 2, rng=0), four),
    "both directions": (lambda: fr.GRU(8, 64, 3, bidirectional=True, rng=0), lambda layer, x: layer(x)),
    "record": (lambda: fr.LSTM(8, 64, rng=0), lambda layer, x: layer.record(x)),
    "record and backward": (lambda: fr.LSTM(8, 64, 2, proj_size=8, rng=0), train),
    "checkpoints": (lambda: fr.RNN(8, 64, 2, rng=0), checkpointed),
}
make, use = CASES[sys.argv[1]]
layer, small = make(), np.zeros((10, 2, 8), np.float32)
use(layer, small)
before = resident()
use(layer, np.zeros((400, 256, 8), np.float32))
for _ in range(60): use(layer, small)
print(resident() - before)
"""


@preloaded
@pytest.mark.parametrize(
    "case",
    ["forward", "forward, four at once", "both directions", "record", "record and backward", "checkpoints"],
)
def test_what_a_large_call_needed_is_given_back(case: str) -> None:
    """The large call needs 50 MB and more between layers or on its tape."""
    result = python("-c", KEPT, case, MALLOC_TRIM_THRESHOLD_="0", MALLOC_MMAP_THRESHOLD_="100000")
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 25, f"{result.stdout} MB stay"


FAILING = """
import ctypes, sys
import numpy as np
import fusedrnn as fr

library = ctypes.PyDLL(None)
library.fail_at.argtypes, library.asked.restype = [ctypes.c_long], ctypes.c_long
assert library.watch(b"fusedrnn/_core", b"libstdc++") >= 1

inputs, hidden, steps, rows = (5, 7, 4, 2) if sys.argv[2] == "small" else (64, 256, 3, 64)
layer, x = fr.LSTM(inputs, hidden, 2, rng=0), np.ones((steps, rows, inputs), np.float32)

def train(**options):
    y, _, tape = layer.record(x, **options)
    tape.backward(y)

call = {
    "layer": lambda: fr.LSTM(inputs, hidden, 2, rng=0),
    "call": lambda: fr.LSTM(inputs, hidden, 2, rng=0)(x),
    "record": lambda: layer.record(x),
    "backward": train,
    "checkpoint": lambda: train(checkpoint=2),
    "stream": lambda: layer.stream(rows).step(x[0]),
}[sys.argv[1]]
call()
expected = layer(x)[0].tobytes()
library.fail_at(1 << 60)
call()
count = library.asked()
assert count > 0
for n in range(1, count + 1):
    library.fail_at(n)
    try:
        call()
        print("no failure at", n)
    except MemoryError: pass
    finally: library.fail_at(0)
call()
assert layer(x)[0].tobytes() == expected
print("all of", count)
"""


@pytest.fixture(scope="module")
def failing_allocations(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    source = Path(__file__).with_name("failing_allocations.c")
    command = [compiler, "-O1", "-Wall", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True)
    return str(library)


@preloaded
@pytest.mark.parametrize("size", ["small", "on threads"])
@pytest.mark.parametrize("call", ["layer", "call", "record", "backward", "checkpoint", "stream"])
def test_every_allocation_may_fail(call: str, size: str, failing_allocations: str) -> None:
    """MemoryError each time, nothing is freed twice, and the layer works as before."""
    threads = "1" if size == "small" else "2"
    result = python("-c", FAILING, call, size, LD_PRELOAD=failing_allocations, FUSEDRNN_NUM_THREADS=threads)
    assert result.returncode == 0, (result.returncode, result.stdout[-300:], result.stderr[-1000:])
    assert "all of" in result.stdout
