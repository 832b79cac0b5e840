"""Parts and models can be copied, pickled, assigned to, loaded and printed, and copies are on their own."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import MODELS, PARTS, POOLED_MODELS, STEPS, WIDTH, check_same_bits, draw, nn

EVERYTHING: dict[str, Callable[[Any], Any]] = {
    **{f"part: {name}": make for name, make in PARTS.items()},
    **{f"model: {name}": make for name, make in (MODELS | POOLED_MODELS).items()},
    "residual": lambda dtype: nn.Residual(fr.GRU(WIDTH, WIDTH, dtype=dtype, rng=1)),
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
}


def outputs(model: Any) -> dict[str, Any]:
    x = draw(STEPS, 4, WIDTH, dtype=model.dtype)
    y = model(x)
    return {"y": y[0] if isinstance(y, tuple) else y, "recorded": model.record(x)[0]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EVERYTHING)
def test_copies_do_the_same_and_share_nothing(name: str, way: str) -> None:
    model = EVERYTHING[name](np.float32)
    model.note = "kept"
    twin = WAYS[way](model)
    check_same_bits(outputs(twin), outputs(model))  # dropout too: the generators are in the same state
    assert repr(twin) == repr(model)
    assert twin.note == "kept"
    assert list(twin.params) == list(model.params)
    before = outputs(copy.deepcopy(model))
    for key in twin.params:
        twin.params[key][...] = 7
        twin.params[key] = np.full_like(twin.params[key], 3)
        assert (twin.params[key] == 3).all()
    check_same_bits(outputs(model), before)


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_shallow_copy(name: str) -> None:
    """Of a part has params of its own, as a layer's; of a model has the same parts."""
    model = EVERYTHING[name](np.float32)
    twin = copy.copy(model)
    for key in model.params:
        assert twin.params[key] is model.params[key]
        twin.params[key] = np.zeros_like(model.params[key])
        assert model.params[key].any() == name.startswith("part")


@pytest.mark.parametrize("name", EVERYTHING)
def test_params_can_be_snapshots(name: str) -> None:
    model = EVERYTHING[name](np.float32)
    for snapshot in (copy.deepcopy(model.params), pickle.loads(pickle.dumps(model.params))):
        assert type(snapshot) is dict
        check_same_bits(snapshot, dict(model.params))
        assert not any(np.shares_memory(snapshot[key], model.params[key]) for key in snapshot)


@pytest.mark.parametrize("name", EVERYTHING)
def test_params_can_be_assigned_and_loaded(name: str) -> None:
    model = EVERYTHING[name](np.float32)
    for key in model.params:
        values = draw(*model.params[key].shape, dtype=np.float32, seed=3)
        model.params[key] = values
        assert model.params[key] is values
        model.params[key] = values.astype(np.float64)
        assert model.params[key].dtype == np.float32
    other = EVERYTHING[name](np.float32)
    references = dict(other.params)
    other.load_params(model.params)
    for key, array in references.items():
        assert other.params[key] is array, "written in place"
    check_same_bits(dict(other.params), dict(model.params))
    check_same_bits(outputs(other), outputs(EVERYTHING[name](np.float32)) if not len(model.params) else outputs(model))
    assert model.num_params == EVERYTHING[name](np.float32).num_params


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_does_not_fit_changes_nothing(name: str) -> None:
    model = EVERYTHING[name](np.float32)
    before = copy.deepcopy(dict(model.params))
    good = {key: array + 1 for key, array in before.items()}
    with pytest.raises(TypeError, match=r"^mapping: "):
        model.load_params(None)
    with pytest.raises(ValueError, match=r"^mapping: .*unexpected: extra"):
        model.load_params(good | {"extra": np.zeros(1)})
    with pytest.raises(ValueError, match=r"^params: no parameter named 'extra'"):
        model.params["extra"] = np.zeros(1)
    if before:
        last = list(before)[-1]
        own = re.escape(last)
        with pytest.raises(ValueError, match=rf"^mapping: .*missing: {own}"):
            model.load_params({key: array for key, array in good.items() if key != last})
        with pytest.raises(ValueError, match=rf"^{own}: expected shape"):
            model.load_params(good | {last: np.zeros((2, 2, 2), np.float32)})
        with pytest.raises(TypeError, match=rf"^{own}: expected an array of floats"):
            model.load_params(good | {last: before[last].astype(int)})
        with pytest.raises(TypeError, match=r"^params: "):
            del model.params[last]
        with pytest.raises(KeyError):
            model.params[f"0{last}"]
    check_same_bits(dict(model.params), before)


def test_values_are_loaded_that_share_memory_with_what_they_replace() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False, rng=0), nn.Linear(4, 4, bias=False, rng=1))
    first, second = (model.params[name].copy() for name in model.params)
    model.load_params({"0.weight": model.params["1.weight"], "1.weight": model.params["0.weight"]})
    check_same_bits(dict(model.params), {"0.weight": second, "1.weight": first})
    shared = first.copy()
    model.params["0.weight"] = model.params["1.weight"] = shared
    model.load_params({"0.weight": first, "1.weight": second})
    check_same_bits(dict(model.params), {"0.weight": first, "1.weight": second})


def test_a_read_only_array_gives_way() -> None:
    part = nn.Linear(4, 3, rng=0)
    fixed = np.zeros((3, 4), np.float32)
    fixed.flags.writeable = False
    part.params["weight"] = fixed
    part.load_params({"weight": np.ones((3, 4)), "bias": np.ones(3)})
    assert (part.params["weight"] == 1).all()
    assert not fixed.any()


def test_shown_with_counts_of_parameters() -> None:
    model = nn.Sequential(
        nn.Embedding(97, 128, padding_idx=0, rng=0),
        nn.Residual(fr.LSTM(128, 256, rng=0), join="concat"),
        nn.Dropout(0.1),
        nn.Sequential(nn.Linear(384, 10, bias=False, rng=0), nn.ReLU()),
    )
    assert repr(model) == (
        "Sequential(\n"
        "  (0) Embedding(97, 128, padding_idx=0)  12,416\n"
        "  (1) Residual(LSTM(128, 256), join='concat')  394,240\n"
        "  (2) Dropout(0.1)  0\n"
        "  (3) Sequential(\n"
        "    (0) Linear(384, 10, bias=False)  3,840\n"
        "    (1) ReLU()  0\n"
        "  )  3,840 parameters  3,840\n"
        ")  410,496 parameters"
    )
    assert repr(nn.Linear(2, 3, dtype=np.float64)) == "Linear(2, 3, dtype=float64)"
    assert repr(nn.LastStep(bidirectional=True, batch_first=True)) == "LastStep(bidirectional=True, batch_first=True)"
    assert repr(nn.Linear(2, 3).params) == "PartParams({'weight': (3, 2), 'bias': (3,)}, dtype=float32)"
    assert nn.Sequential(fr.RNN(5, 3), nn.Linear(3, 1)).num_params == 31


def test_the_layout_is_that_of_the_parts_that_know_it() -> None:
    model = nn.Sequential(
        nn.Linear(4, 4), fr.LSTM(4, 4, batch_first=True), nn.Residual(nn.Linear(4, 4)), nn.Sequential(nn.ReLU())
    )
    assert model.batch_first
    assert not nn.Sequential(nn.Linear(4, 4)).batch_first
    assert nn.Residual(model).batch_first
    model[1].batch_first = False
    assert not model.batch_first
