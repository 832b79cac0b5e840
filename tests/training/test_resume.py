"""A run that goes on from a checkpoint ends with the bits of one that was never interrupted, wherever it stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn._saving import load_arrays
from small_runs import RUN, check_same_bits, make_model, run_of, shuffled

pytest.importorskip("safetensors")

LENGTHS: dict[str, dict[str, Any]] = {
    "epochs": {"epochs": 3},
    "steps": {"steps": 10},
    "looks within epochs": {"epochs": 3, "validate_every": 3},
    "patience": {"epochs": 3, "validate_every": 2, "patience": 2},
    "no validation": {"epochs": 3, "validation": None},
}
OPTIMISERS: dict[str, Callable[[Any], Any]] = {
    "adam": lambda params: fr.optim.Adam(params, lr=0.02),
    "sgd": lambda params: fr.optim.SGD(params, lr=0.3, momentum=0.9, nesterov=True),
    "rmsprop": lambda params: fr.optim.RMSprop(params, lr=0.01, momentum=0.5),
}


class Stop(Exception):  # noqa: N818
    """The end of a process."""


def broken_off(after: int, path: Path, make: Callable[[Any], Any], **options: Any) -> int:
    """A run that ends after so many steps, without a word; how many it made."""
    model = make_model()
    optimiser = make(model.params)
    step, made = optimiser.step, 0

    def counted(*arguments: Any, **rest: Any) -> None:
        nonlocal made
        if made == after:
            raise Stop
        step(*arguments, **rest)
        made += 1

    optimiser.step = counted
    with contextlib.suppress(Stop):
        fr.fit(model, shuffled, optimiser, **RUN | options, checkpoint=path, checkpoint_every=1)
    return made


@pytest.mark.parametrize("name", LENGTHS)
def test_after_every_step(name: str, tmp_path: Path) -> None:
    expected = run_of(make_model(), **LENGTHS[name])
    for stop in range(1, 13):
        path = tmp_path / f"{stop}.safetensors"
        made = broken_off(stop, path, OPTIMISERS["adam"], **LENGTHS[name])
        model = make_model(seed=50)  # what it begins with is of no account
        found = run_of(model, fr.optim.Adam(model.params, lr=0.5), **LENGTHS[name], checkpoint=path)
        check_same_bits(found, expected)
        if made < stop:
            break


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_optimiser_and_dtype(kind: str, dtype: Any, tmp_path: Path) -> None:
    expected_model = make_model(dtype)
    expected = run_of(expected_model, OPTIMISERS[kind](expected_model.params), steps=7)
    path = tmp_path / "run.safetensors"
    for steps in (3, 7):
        model = make_model(dtype)
        found = run_of(model, OPTIMISERS[kind](model.params), steps=steps, validation=None, checkpoint=path)
    model = make_model(dtype)
    plain = run_of(model, OPTIMISERS[kind](model.params), steps=7, validation=None)
    check_same_bits(found, plain)
    assert expected.keys() == plain.keys()


def test_a_run_that_is_over_is_over(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    expected = run_of(make_model(), epochs=2, checkpoint=path)
    again = run_of(make_model(seed=3), epochs=2, checkpoint=path)
    check_same_bits(again, expected)
    model = make_model()
    history = fr.fit(model, shuffled, fr.optim.Adam(model.params), epochs=2, checkpoint=path, **RUN)
    assert history.loss == []
    assert history.stopped == "done"


def test_a_run_that_is_over_goes_on_with_more_epochs(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run_of(make_model(), epochs=1, checkpoint=path)
    run_of(make_model(seed=3), epochs=2, checkpoint=path)
    check_same_bits(run_of(make_model(seed=4), epochs=3, checkpoint=path), run_of(make_model(), epochs=3))


def test_patience_at_its_end_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    options: dict[str, Any] = {**RUN, "epochs": 9, "validate_every": 1, "patience": 1, "checkpoint": path}
    runs = []
    for _ in range(2):
        model = make_model()
        runs.append(fr.fit(model, shuffled, fr.optim.SGD(model.params, lr=3.0), **options))
    assert [run.stopped for run in runs] == ["patience", "patience"]
    assert runs[1].steps == runs[0].steps
    assert runs[1].loss == []


def test_the_history_of_looks_goes_on(tmp_path: Path) -> None:
    """Loss and metric of the looks before the interruption are those of an unbroken run."""
    path, options = tmp_path / "run.safetensors", {**RUN, "metric": fr.nn.accuracy}
    for epochs in (1, 3):
        model = make_model()
        found = fr.fit(model, shuffled, fr.optim.Adam(model.params), epochs=epochs, checkpoint=path, **options)
    model = make_model()
    whole = fr.fit(model, shuffled, fr.optim.Adam(model.params), epochs=3, **options)
    assert len(whole.metric) == 3
    assert (found.validation, found.metric) == (whole.validation, whole.metric)


def test_other_generators(tmp_path: Path) -> None:
    """Any NumPy bit generator, and one that several parts share."""
    for kind in (np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM):
        path = tmp_path / f"{kind.__name__}.safetensors"

        def make(seed: int, kind: Any = kind) -> Any:
            rng = np.random.Generator(kind(seed))
            parts = fr.nn.Embedding(5, 4, rng=0), fr.nn.Dropout(0.3, rng=rng), fr.GRU(4, 5, 2, dropout=0.4, rng=rng)
            return fr.nn.Sequential(*parts, fr.nn.Linear(5, 5, rng=1))

        run_of(make(0), steps=3, checkpoint=path, validation=None)
        found = run_of(make(7), steps=6, checkpoint=path, validation=None)
        check_same_bits(found, run_of(make(0), steps=6, validation=None))


CHILD = """
import fusedrnn as fr
from small_runs import RUN, make_model, shuffled
def batches(epoch):
    for batch in shuffled(epoch):
        print("step", flush=True)
        {pause}
        yield batch
model = make_model()
history = fr.fit(model, batches, fr.optim.Adam(model.params, lr=0.02), epochs={epochs}, checkpoint={path!r},
                 checkpoint_every=1, **RUN)
print(history.stopped, history.steps, flush=True)
"""


def child(path: Path, epochs: int, pause: str = "") -> subprocess.Popen[str]:
    code = CHILD.format(pause=pause, epochs=epochs, path=str(path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """kill -9 at a moment of chance, again and again, until a run comes to its end."""
    path = tmp_path / "run.safetensors"
    waits = np.random.default_rng().uniform(0, 0.03, 3)
    for wait in waits:
        with child(path, 400) as process:
            assert process.stdout is not None
            for _ in range(12):
                process.stdout.readline()
            time.sleep(wait)
            process.kill()
    epochs = json.loads(load_arrays(path)[1]["position"])["epoch"] + 2
    check_same_bits(run_of(make_model(seed=8), checkpoint=path, epochs=epochs), run_of(make_model(), epochs=epochs))


def test_ctrl_c_ends_after_the_step_and_saves(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    with child(path, 2, pause="import time; time.sleep(0.05)") as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().split()
        assert process.wait() == 0
    assert rest[-2] == "interrupted"
    assert 2 <= int(rest[-1]) < 8
    check_same_bits(run_of(make_model(seed=8), checkpoint=path, epochs=2), run_of(make_model(), epochs=2))


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """As any KeyboardInterrupt, and Ctrl-C does afterwards what it did before."""
    model, handler = make_model(), signal.getsignal(signal.SIGINT)

    def batches(epoch: int) -> Any:
        for batch in shuffled(epoch):
            yield batch
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fr.fit(model, batches, fr.optim.SGD(model.params), epochs=1)
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_within_the_process(tmp_path: Path) -> None:
    for length in ({"epochs": 3}, {"steps": 8}):
        for stop in range(1, 9):
            path = tmp_path / f"{stop} {next(iter(length))}.safetensors"
            made = 0

            def batches(epoch: int, stop: int = stop) -> Any:
                nonlocal made
                for batch in shuffled(epoch):
                    made += 1
                    if made == stop:
                        os.kill(os.getpid(), signal.SIGINT)
                    yield batch

            model = make_model()
            history = fr.fit(model, batches, fr.optim.Adam(model.params, lr=0.02), checkpoint=path, **length, **RUN)
            assert history.steps == stop
            assert history.stopped == ("done" if length == {"steps": 8} and stop == 8 else "interrupted")
            check_same_bits(run_of(make_model(seed=8), checkpoint=path, **length), run_of(make_model(), **length))
