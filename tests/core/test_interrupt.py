"""Signals while a call runs: Python's handlers run meanwhile, and what they raise (Ctrl-C: KeyboardInterrupt) ends it.

Signals that come while nobody looks are handled once: a handler that has to run several times before it raises can do
so only inside of the call.
"""

from __future__ import annotations

import signal

import pytest

import interpreter

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")

SIGNALS = """
import signal, threading
fr.set_num_threads(1)
layer, x = fr.LSTM(4, 512, rng=0), np.random.default_rng(0).normal(size=(20000, 1, 4)).astype(np.float32)
short = x[:50]
expected = layer(short)[0]
def gradients():
    return layer.record(short, checkpoint=9)[-1].backward(expected).params
expected_gradients = gradients()
seen = []
def handler(signum, frame):
    seen.append(signum)
    on_signal(len(seen))
signal.signal(signal.SIGINT, handler)
def repeat_signals(on):  # from a thread of its own: a process-directed SIGINT, as the terminal sends it
    import os, time
    while on.is_set():
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
class Signals:
    def __enter__(self):
        self.on = threading.Event()
        self.on.set()
        self.sender = threading.Thread(target=repeat_signals, args=(self.on,))
        self.sender.start()
    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.on.clear()
        self.sender.join()
def usable():
    check_same_bits("y", layer(short)[0], expected)
    check_all_same_bits(gradients(), expected_gradients)
    print("usable")
"""


def run(code: str) -> list[str]:
    return interpreter.run(SIGNALS + code).split()


# The third signal ends the call. On a busy machine a few more are handled before `Signals` ignores them.
INTERRUPTING = """
def on_signal(count):
    if count == 3: signal.default_int_handler(signal.SIGINT, None)
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "call", ["layer(x)", "layer.record(x)", "wide(x)", "stack(x)", "layer.record(x)[-1].backward(y)"]
)
def test_a_long_call_is_interrupted(call: str, threads: int) -> None:
    """Without checkpoints, in every way that work is shared: units, rows, layers; forward and backward."""
    code = f"""
fr.set_num_threads({threads})
fr._core.set_team_mode("fixed")
wide, stack = fr.LSTM(4, 512, rng=0), fr.LSTM(4, 128, num_layers=4, rng=0)
y = np.ones((20000, 1, 512), np.float32)
{"x = np.repeat(x, 8, axis=1)" if call.startswith("wide") else ""}
{"x = np.repeat(x, 4, axis=0)" if call.startswith("stack") else ""}
try:
    with Signals(): {call}
except KeyboardInterrupt:
    print("interrupted")
usable()
"""
    assert run(INTERRUPTING + code) == ["interrupted", "usable"]


def test_recording_is_interrupted() -> None:
    code = """
try:
    with Signals(): layer.record(x, checkpoint=100)
except KeyboardInterrupt:
    print(3 <= len(seen) < 10)
usable()
"""
    assert run(INTERRUPTING + code) == ["True", "usable"]


def test_backward_is_interrupted() -> None:
    code = """
tape = layer.record(x, checkpoint=100)[-1]
last = np.ones((1, 1, 512), np.float32)
try:
    with Signals(): tape.backward(None, (last, last))
except KeyboardInterrupt:
    print(3 <= len(seen) < 10)
try:
    tape.backward(None, (last, last))
except ValueError as error:
    print(str(error).split(":")[0])
usable()
"""
    assert run(INTERRUPTING + code) == ["True", "tape", "usable"]


def test_what_a_handler_raises_comes_out() -> None:
    code = """
class Other(Exception): pass
def on_signal(count):
    if count == 2: raise Other("mine")
try:
    with Signals(): layer.record(x, checkpoint=100)
except Other as error:
    print(error)
usable()
"""
    assert run(code) == ["mine", "usable"]


def test_a_handler_that_raises_nothing_changes_nothing() -> None:
    """Not even one that computes with the same layer."""
    code = """
x = x[:8000]
undisturbed = layer(x)[0]
inside = False
def on_signal(count):
    global inside
    if inside: return
    inside = True
    check_same_bits("y", layer(short)[0], expected)
    layer.record(x[:400], checkpoint=100)
    inside = False
with Signals(): y = layer.record(x, checkpoint=100)[0]
check_same_bits("y", y, undisturbed)
print(len(seen) > 1)
usable()
"""
    assert run(code) == ["True", "usable"]


def test_calls_of_other_threads_are_not_interrupted() -> None:
    code = """
x = x[:8000]
undisturbed = layer(x)[0]
over, armed = threading.Event(), False
def on_signal(count):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt
def work():
    check_same_bits("y", layer.record(x, checkpoint=100)[0], undisturbed)
    print("whole")
    over.set()
threading.Thread(target=work).start()
caught = 0
with Signals():
    while not over.is_set():
        try:
            armed = True
            over.wait(60)
            armed = False
        except KeyboardInterrupt:
            caught += 1
print(caught > 0)
usable()
"""
    assert run(code) == ["whole", "True", "usable"]
