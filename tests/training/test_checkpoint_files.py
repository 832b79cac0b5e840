"""A checkpoint that is damaged, foreign or cannot be written is an error that changes nothing, no file either."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from fusedrnn._saving import load_arrays, save_arrays
from small_runs import RUN, check_same_bits, make_model, results, run_of, shuffled

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "run.safetensors"
    run_of(make_model(), steps=3, checkpoint=path)
    return path


def check_refused(path: Path, model: Any = None, optimiser: Any = None, error: Any = ValueError) -> None:
    model = model or make_model(seed=5)
    optimiser = optimiser or fr.optim.Adam(model.params, lr=0.02)
    before = results(*copy.deepcopy((model, optimiser)))
    content = path.read_bytes()
    with pytest.raises(error, match=str(path)):
        fr.fit(model, shuffled, optimiser, steps=6, checkpoint=path, **RUN)
    check_same_bits(results(model, optimiser), before)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path], "nothing is left beside it"


def test_truncated_anywhere(good: Path) -> None:
    content = good.read_bytes()
    for size in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
        good.write_bytes(content[:size])
        check_refused(good)
    good.write_bytes(content + b"more")
    check_refused(good)
    good.write_bytes(b"PK\3\4" + content[4:])
    check_refused(good)


def test_other_files(good: Path) -> None:
    good.write_text("no safetensors file")
    check_refused(good)
    good.write_bytes(safetensors.save(dict(make_model().params)))
    check_refused(good)
    # A bfloat16 array, as other programs save them: NumPy has no such type.
    header = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    good.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    check_refused(good)


def test_what_is_in_it_is_not_what_it_should_be(good: Path) -> None:
    arrays, metadata = load_arrays(good)
    model = next(name for name in arrays if name.startswith("model."))
    best = next(name for name in arrays if name.startswith("best."))
    state = next(name for name in arrays if name.startswith("state."))
    first = next(name for name in arrays if name.startswith("optimiser.first."))
    for name in (model, best, state, first, "optimiser.steps", "optimiser.lr"):
        save_arrays(good, {key: array for key, array in arrays.items() if key != name}, metadata)
        check_refused(good)
    for name in (model, best, first):
        save_arrays(good, arrays | {name: np.zeros((2, 2), np.float32)}, metadata)
        check_refused(good)
    for name in ("format", "optimiser", "position", "rngs", "state"):
        save_arrays(good, arrays, {key: value for key, value in metadata.items() if key != name})
        check_refused(good)
    for name, text in (
        ("position", "{"), ("position", "{}"), ("position", "[]"), ("rngs", "[]"), ("rngs", "{"), ("rngs", "[1, 2, 3]"),
        ("state", "["), ("state", "[1]"), ("state", "3"),
    ):  # fmt: skip
        save_arrays(good, arrays, metadata | {name: text})
        check_refused(good)
    save_arrays(good, arrays, metadata)
    run_of(make_model(), steps=6, checkpoint=good)


def test_of_another_model_or_optimiser(good: Path) -> None:
    model = make_model()
    check_refused(good, model, fr.optim.SGD(model.params))
    check_refused(good, make_model(np.float64))
    check_refused(good, fr.nn.Sequential(fr.nn.Embedding(5, 4), fr.nn.Linear(4, 5)))
    other = make_model()
    other[3].rng = np.random.Generator(np.random.MT19937(0))  # another generator
    check_refused(good, other)
    alone = make_model()
    alone[3].rng = other[3].rng = np.random.default_rng(0)  # its own, where it shared one
    check_refused(good, alone)


def test_with_and_without_momentum(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    model = make_model()
    run_of(model, fr.optim.SGD(model.params, lr=0.1, momentum=0.9), steps=2, checkpoint=path)
    other = make_model()
    check_refused(path, other, fr.optim.SGD(other.params, lr=0.1))


def test_a_full_disk(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    content = good.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        run_of(make_model(), steps=6, checkpoint=good)
    monkeypatch.undo()
    assert good.read_bytes() == content
    assert list(good.parent.iterdir()) == [good]


def test_a_file_as_large_as_it_may_be(good: Path) -> None:
    """A real error of the system, in a process of its own."""
    content = good.read_bytes()
    code = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
from small_runs import make_model, run_of
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(content) // 2}, {len(content) // 2}))
try:
    run_of(make_model(), steps=6, checkpoint=Path({str(good)!r}))
except OSError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large" in result.stdout
    assert good.read_bytes() == content
    assert list(good.parent.iterdir()) == [good]
    run_of(make_model(), steps=6, checkpoint=good)


def test_a_place_that_cannot_be_written_is_an_error_at_the_beginning(tmp_path: Path) -> None:
    model = make_model()
    before = copy.deepcopy(dict(model.params))
    for path in (tmp_path / "no folder" / "run.safetensors", tmp_path):
        with pytest.raises(OSError, match=str(path)):
            fr.fit(model, shuffled, fr.optim.Adam(model.params), steps=1, checkpoint=path)
    check_same_bits(dict(model.params), before)


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    model = make_model()
    before = copy.deepcopy(dict(model.params))
    with pytest.raises(ImportError, match=r"pip install \"fusedrnn\[train\]\""):
        fr.fit(model, shuffled, fr.optim.Adam(model.params), steps=1, checkpoint=tmp_path / "run.safetensors")
    check_same_bits(dict(model.params), before)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_has_last_and_best_parameters(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    model = make_model()
    optimiser = fr.optim.SGD(model.params, lr=5.0)  # worse and worse
    options = RUN | {"clip_norm": None, "schedule": None}
    history = fr.fit(model, shuffled, optimiser, epochs=3, checkpoint=path, **options)
    arrays, _ = load_arrays(path)
    assert history.best_step is not None
    best = {name[5:]: array for name, array in arrays.items() if name.startswith("best.")}
    check_same_bits({name: best[name] for name in model.params}, dict(model.params))
    if history.best_step < history.steps:
        assert any((arrays[f"model.{name}"] != best[name]).any() for name in best)
