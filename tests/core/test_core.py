"""The compiled core called with anything, past the checks of the Python classes: an error at worst, never a crash."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn import _core
from interpreter import python

CLASSES = sorted(name for name, value in vars(_core).items() if inspect.isclass(value))
core: Any = _core

# Every callable of the module and of its classes, with each of the values below and many lists of them. It may
# be fine or raise, and shows what it tried last when the process dies.
WALK = """
import inspect, itertools, random, sys, warnings
import numpy as np
import fusedrnn as fr
from fusedrnn import _core

class Liar(np.ndarray):
    shape = (1, 1, 3)
    ndim = 3
    dtype = np.dtype(np.float32)
    def copy(self, order="C"): return np.zeros(1, np.float32)
    def __array_finalize__(self, other): pass

class Endless(list):
    def __len__(self): return 1
    def __getitem__(self, index): raise IndexError(index)

layer = fr.LSTM(3, 4, 2, rng=0)
x = np.zeros((5, 2, 3), np.float32)
def instances():
    network = _core.Network("lstm", 3, 4, num_layers=2)
    network.bind(list(layer.params.values()))
    return network, network.stream(2), network.record(x)[-1], _core.Network("gru", 1, 1, dtype="float64")

VALUES = [
    None, 0, 1, -1, 2**31, 2**62, 2**63, 10**400, 1.5, float("nan"), float("inf"), True, np.int64(2), np.float32(1),
    "", "lstm", "float32", "tanh", b"abc", [], [x], {}, Endless(), object(), int, lambda: [x], x, x[:, :, ::-1], x[::2],
    np.asfortranarray(x), x.view(Liar), np.zeros((5, 2, 4), np.float32), np.zeros((2, 2, 4), np.float32),
    np.zeros((2, 3), np.float32), np.zeros((5, 2), bool), np.array([5, -1]), np.array(3.0), np.zeros(0),
    np.zeros((0, 2, 3), np.float32), np.broadcast_to(np.zeros(1), (10**13,)), np.array([None, 1]), np.zeros(3, ">f4"),
    np.broadcast_to(np.float32(0), (3, 4, 5)),
    memoryview(b"abcdef")[::2], np.zeros(9, np.uint8)[1:].view("f4"),
]
random.seed(0)
longer = [[random.choice(VALUES) for _ in range(random.randrange(3, 7))] for _ in range(150)]
pairs = random.sample(list(itertools.product(VALUES, repeat=2)), 600)
LISTS = [[], *([a] for a in VALUES), *pairs, *longer]
ENORMOUS = {("ceilings", 2**62), ("ceilings", 2**31)}  # memory of that size may be there

def attempt(call, *arguments):
    print(getattr(call, "__qualname__", call), [type(a).__name__ for a in arguments], file=sys.stderr)
    try: call(*arguments)
    except Exception: pass

warnings.simplefilter("ignore")
for name, value in sorted(vars(_core).items()):
    if inspect.isclass(value):
        for arguments in LISTS[:200]:
            attempt(value, *arguments)
            attempt(value.__new__, *arguments)
        for make in (value.__new__, object.__new__, value.__mro__[1].__new__): attempt(make, value)
    elif callable(value):
        for arguments in LISTS:
            if not any((name, a) in ENORMOUS for a in arguments if type(a) is int): attempt(value, *arguments)
for index in range(4):
    kind = type(instances()[index])
    for name in dir(kind):
        if name in ("__class__", "__new__", "__init_subclass__", "__subclasshook__", "__dir__", "__doc__"): continue
        method = inspect.getattr_static(kind, name)
        if isinstance(method, property):
            for value in VALUES: attempt(method.fget, value)
            continue
        if not callable(getattr(kind, name, None)): continue
        self = instances()[index]
        for arguments in LISTS:
            attempt(getattr(kind, name), self, *arguments)
            if name == "backward": self = instances()[index]
        for value in (*VALUES, *instances()): attempt(getattr(kind, name), value)
    for other in map(type, instances()):
        self = instances()[index]
        try: self.__class__ = other
        except TypeError: pass
        else: assert type(self) is kind
print("walked")
"""


def test_nothing_reachable_crashes() -> None:
    result = python("-c", WALK)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.endswith("walked\n")


@pytest.mark.parametrize("name", CLASSES)
def test_no_object_without_init(name: str) -> None:
    kind = getattr(_core, name)
    for make in (kind.__new__, object.__new__, kind.__mro__[1].__new__):
        with pytest.raises(TypeError):
            make(kind)
    network = core.Network("gru", 2, 3)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="Network"):
            pickle.dumps(network, protocol)
    with pytest.raises(TypeError, match="Network"):
        copy.copy(network)
    if name != "Network":
        with pytest.raises(TypeError, match=name):
            kind()


@pytest.mark.parametrize("name", CLASSES)
def test_classes_cannot_be_changed(name: str) -> None:
    kind = getattr(_core, name)
    with pytest.raises(TypeError):
        kind.anything = 1
    with pytest.raises(TypeError):
        type("Derived", (kind,), {})
    layer = fr.LSTM(2, 3, rng=0)
    stream: Any = layer.stream()
    with pytest.raises(TypeError):
        stream._core.__class__ = kind if name != "Stream" else core.Tape


def test_fingerprint_of_other_layouts() -> None:
    data = np.arange(100.0)
    for wrong in (data[::2], data.reshape(10, 10).T, np.broadcast_to(np.zeros(1), (10**9,)), memoryview(b"abcd")[::2]):
        with pytest.raises(ValueError, match="data: expected a C-contiguous buffer"):
            core.fingerprint(wrong)
    for wrong in (None, 3, "text", [1.0]):
        with pytest.raises(TypeError, match="data: expected a buffer"):
            core.fingerprint(wrong)
    assert core.fingerprint(data[10:20]) == core.fingerprint(bytes(data[10:20])) == core.fingerprint(data[10:20].copy())


def test_masks_whose_length_lies() -> None:
    class Lying(list):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 1

    network = core.Network("gru", 2, 3, num_layers=2)
    network.bind([np.zeros(shape, np.float32) for _, shape in network.param_shapes])
    x, mask = np.zeros((4, 2, 2), np.float32), np.ones((4, 2, 3), np.float32)
    for wrong, error in ((Lying(), ValueError), ([mask, mask], ValueError), (5, TypeError), ("x", TypeError)):
        with pytest.raises(error, match="dropout_masks"):
            network.record(x, dropout_masks=wrong)
    network.record(x, dropout_masks=[mask])


def test_sizes_beyond_the_core() -> None:
    for name in ("input_size", "hidden_size"):
        with pytest.raises(ValueError, match=f"{name}: expected from 1 to 2147483647, got {2**62}"):
            core.Network("lstm", **{"input_size": 1, "hidden_size": 1, name: 2**62})
    network = core.Network("gru", 2, 3)
    with pytest.raises(ValueError, match="batch_size"):
        network.stream(2**31)
    with pytest.raises(ValueError, match="threads: expected from 1 to 4096, got 1000000"):
        core.ceilings("float32", 1000, 10**6)


SUBINTERPRETER = """
try: import _xxsubinterpreters as interpreters
except ImportError: import _interpreters as interpreters
made = interpreters.create()
try: failure = interpreters.run_string(made, "import fusedrnn")
except Exception as error: failure = error
print(failure)
"""


@pytest.mark.parametrize("first", ["", "import fusedrnn"])
def test_import_in_a_subinterpreter(first: str) -> None:
    """It says so, whether or not the main interpreter has imported it before."""
    result = python("-W", "ignore", "-c", first + SUBINTERPRETER)
    if "No module named" in result.stderr:
        pytest.skip("this Python makes no sub-interpreters")
    assert result.returncode == 0, result.stderr
    assert "ImportError" in result.stdout, result.stdout
