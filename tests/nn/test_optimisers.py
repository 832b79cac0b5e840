"""Optimisers: what they refuse changes nothing, their state goes on, clipping and schedules do what they say."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import check_same_bits, draw, every_dtype, nn, tokens

optim = fr.optim
KINDS: dict[str, Callable[..., Any]] = {
    "SGD": optim.SGD,
    "momentum": lambda params, **options: optim.SGD(params, momentum=0.9, **options),
    "RMSprop": optim.RMSprop,
    "RMSprop with momentum": lambda params, **options: optim.RMSprop(params, momentum=0.9, **options),
    "Adam": optim.Adam,
    "AdamW": optim.AdamW,
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def params(dtype: Any = np.float32) -> dict[str, np.ndarray]:
    return {"a": draw(3, 4, dtype=dtype), "b": draw(5, dtype=dtype)}


def gradients(step: int = 0, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    return {"a": draw(3, 4, dtype=dtype, seed=step + 9), "b": draw(5, dtype=dtype, seed=step + 9)}


@every_kind
@pytest.mark.parametrize("way", ["state", "deepcopy", "pickle"])
def test_goes_on_where_another_was(kind: str, way: str) -> None:
    unbroken, ours = params(), params()
    other, mine = KINDS[kind](unbroken), KINDS[kind](ours, lr=0.5)
    mine.lr = other.lr
    for step in range(3):
        other.step(gradients(step))
        mine.step(gradients(step))
    if way == "state":
        fresh = KINDS[kind](ours, lr=0.5)
        state = mine.state()
        fresh.load_state(state)
        state["steps"][...] = 77  # it has copies
        for array in state.values():
            array[...] = 0
    else:
        ours, fresh = copy.deepcopy((ours, mine)) if way == "deepcopy" else pickle.loads(pickle.dumps((ours, mine)))
        assert all(fresh.params[name] is ours[name] for name in ours), "the copies belong together"
    for step in range(3, 6):
        other.step(gradients(step))
        fresh.step(gradients(step))
    check_same_bits(ours, unbroken)
    check_same_bits(fresh.state(), other.state())
    assert fresh.steps == 6
    assert fresh.lr == other.lr


def refused(optimiser: Any) -> list[tuple[str, Callable[[], Any]]]:
    good = gradients()
    state = optimiser.state()
    first = next((name for name in state if "." in name), "lr")
    return [
        *(("gradients", lambda g=g: optimiser.step(g)) for g in (None, [1], {}, {"a": good["a"]})),
        *(
            ("gradients", lambda g=g: optimiser.step(good | {"b": g}))
            for g in (None, [0.0] * 5, good["b"][1:], good["b"].astype(np.float64), good["b"].astype(">f4"))
        ),
        *(("scale", lambda s=s: optimiser.step(good, scale=s)) for s in (None, "a", np.nan, np.inf, -1, True)),
        *(("lr", lambda v=v: setattr(optimiser, "lr", v)) for v in (None, "a", np.nan, np.inf, -1, True)),
        *(("state", lambda s=s: optimiser.load_state(s)) for s in (None, [1], {}, state | {"extra": state["lr"]})),
        ("state", lambda: optimiser.load_state({name: a for name, a in state.items() if name != first})),
        ("state", lambda: optimiser.load_state({name: a for name, a in state.items() if name != "steps"})),
        *(
            ("state", lambda n=n, v=v: optimiser.load_state(state | {n: v}))
            for n, v in (
                (first, np.zeros((2, 2, 2))), (first, "a"), (first, None), ("steps", np.asarray(-1)),
                ("steps", np.asarray(1.5)), ("lr", np.asarray(-1.0)), ("lr", np.asarray(np.nan)),
            )
        ),
    ]  # fmt: skip


@every_kind
def test_what_is_refused_changes_nothing(kind: str) -> None:
    arrays = params()
    optimiser = KINDS[kind](arrays)
    optimiser.step(gradients())
    before = copy.deepcopy((arrays, optimiser.state(), optimiser.lr))
    for k, (name, call) in enumerate(refused(optimiser)):
        with pytest.raises((ValueError, TypeError), match=rf"^{name}: "):
            call()
        check_same_bits(arrays, before[0])
        check_same_bits(optimiser.state(), before[1])
        assert optimiser.lr == before[2], k


@every_kind
def test_parameters_that_do_not_fit(kind: str) -> None:
    fixed = draw(3, dtype=np.float32)
    fixed.flags.writeable = False
    shared = draw(10, dtype=np.float32)
    for wrong in (
        None, [1], {}, {"a": [1.0]}, {"a": np.zeros(3, int)}, {"a": np.zeros(3, np.float16)}, {"a": fixed},
        {"a": draw(4, 4, dtype=np.float32).T}, {"a": shared, "b": shared}, {"a": shared[:6], "b": shared[5:]},
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=r"^params: "):
            KINDS[kind](wrong)
    KINDS[kind]({"a": shared[:5], "b": shared[5:]})


@every_kind
def test_parameters_that_stop_fitting(kind: str) -> None:
    arrays = params()
    optimiser = KINDS[kind](arrays)
    good = dict(arrays)
    fixed = good["a"].copy()
    fixed.flags.writeable = False
    for change in (
        {"b": draw(6, dtype=np.float32)}, {"b": draw(5)}, {"a": fixed}, {"a": np.asfortranarray(good["a"])},
        {"c": draw(5, dtype=np.float32)}, {"b": good["a"].reshape(-1)[:5]},
    ):  # fmt: skip
        arrays.update(change)
        before = copy.deepcopy((arrays, optimiser.state()))
        with pytest.raises((ValueError, TypeError), match=r"^(params|gradients): "):
            optimiser.step({name: np.ones(array.shape, np.float32) for name, array in arrays.items()})
        check_same_bits(arrays, before[0])
        check_same_bits(optimiser.state(), before[1])
        arrays.clear()
        arrays.update(good)
    optimiser.step(gradients())
    arrays["b"] = good["b"].copy()  # another array of the same kind is taken
    optimiser.step(gradients())
    assert (arrays["b"] != good["b"]).any()


def test_options_out_of_range() -> None:
    numbers = (None, "a", True, np.nan, -0.1, np.inf)
    for kind, options in {
        "SGD": ("lr", "momentum", "dampening", "weight_decay"),
        "RMSprop": ("lr", "alpha", "eps", "weight_decay", "momentum"),
        "Adam": ("lr", "eps", "weight_decay"),
        "AdamW": ("lr", "eps", "weight_decay"),
    }.items():
        for option in options:
            for value in numbers:
                with pytest.raises((ValueError, TypeError), match=rf"^{option}: "):
                    getattr(optim, kind)(params(), **{option: value})
    for betas in (None, 0.9, [0.9, 0.9], (0.9,), (0.9, 1.0), (-0.1, 0.9), ("a", 0.9), (0.9, np.nan)):
        with pytest.raises((ValueError, TypeError), match=r"^betas: "):
            optim.Adam(params(), betas=betas)
    with pytest.raises(ValueError, match=r"^alpha: "):
        optim.RMSprop(params(), alpha=1.0)
    for options in ({"nesterov": 1}, {"nesterov": True}, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}):
        with pytest.raises((ValueError, TypeError), match=r"^nesterov: "):
            optim.SGD(params(), **options)


def test_both_dtypes_at_once() -> None:
    mixed = {"a": draw(3, dtype=np.float32), "b": draw(3)}
    optimiser = optim.Adam(mixed)
    alone = {"a": mixed["a"].copy()}, {"b": mixed["b"].copy()}
    optimiser.step({"a": np.ones(3, np.float32), "b": np.ones(3)})
    for one, dtype in zip(alone, (np.float32, np.float64), strict=True):
        optim.Adam(one).step({name: np.ones(3, dtype) for name in one})
    check_same_bits(mixed, alone[0] | alone[1])


def test_some_parameters_of_a_model() -> None:
    """A mapping of the rest trains the rest."""
    model = nn.Sequential(nn.Embedding(3, 4, rng=0), fr.GRU(4, 5, rng=1), nn.Linear(5, 3, rng=2))
    before = copy.deepcopy(dict(model.params))
    optimiser = optim.Adam({name: array for name, array in model.params.items() if name.startswith("2.")})
    optimiser.step(model.record_loss(tokens(4, 2), tokens(4, 2, seed=1))[2].backward())
    changed = {name for name, array in model.params.items() if (array != before[name]).any()}
    assert changed == {"2.weight", "2.bias"}


def test_shown() -> None:
    optimiser = optim.Adam(params(), lr=3e-4)
    assert repr(optimiser) == "Adam(2 parameters, lr=0.0003, steps=0)"


@every_dtype
def test_clipping_by_norm(dtype: Any) -> None:
    found = gradients(dtype=dtype)
    before = copy.deepcopy(found)
    norm = math.sqrt(sum(float((a.astype(float) ** 2).sum()) for a in before.values()))
    np.testing.assert_allclose(optim.grad_norm(found), norm, rtol=1e-12)
    np.testing.assert_allclose(optim.clip_grad_norm(found, 2 * norm), norm, rtol=1e-12)
    check_same_bits(found, before)
    optim.clip_grad_norm(found, norm / 4)
    np.testing.assert_allclose(optim.grad_norm(found), norm / 4, rtol=1e-6)
    assert optim.clip_grad_norm(found, 0) > 0
    assert not any(array.any() for array in found.values())
    assert optim.clip_grad_norm({}, 1.0) == 0


def test_scale_is_clipping_without_a_pass_of_its_own() -> None:
    ours, theirs = params(np.float64), params(np.float64)
    optim.SGD(ours).step(gradients(dtype=np.float64), scale=0.25)
    optim.SGD(theirs).step({name: array / 4 for name, array in gradients(dtype=np.float64).items()})
    check_same_bits(ours, theirs)


@pytest.mark.parametrize("size", [1e150, 1e153, 1e155, 1e200, 1e307])
def test_norms_whose_squares_are_beyond_float64(size: float) -> None:
    """The norm is that of the gradients divided by a power of two, times that; infinite is only what is beyond it."""
    power = 2.0 ** math.floor(math.log2(size))
    small = gradients(dtype=np.float64) | {"zero": np.zeros(3)}
    large = {name: array * power for name, array in small.items()}
    expected = {name: norm * power for name, norm in optim.norms(small).items()}
    found = optim.norms(large)
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-14)
    np.testing.assert_allclose(optim.grad_norm(large), optim.grad_norm(small) * power, rtol=1e-14)
    optim.clip_grad_norm(large, 0.5)
    optim.clip_grad_norm(small, 0.5)
    for name, array in large.items():
        np.testing.assert_allclose(array, small[name], rtol=1e-12)


def test_norms_that_are_beyond_float64() -> None:
    huge = {"a": np.full(3, 1.7e308), "b": np.ones(1)}
    assert optim.norms(huge) == {"a": np.inf, "b": 1.0}
    with pytest.raises(ValueError, match=r"^gradients: .*: a$"):
        optim.clip_grad_norm(huge, 1.0)
    each = {"a": np.full(1, 1.7e308), "b": np.full(1, 1.7e308)}
    assert optim.grad_norm(each) == np.inf
    with pytest.raises(ValueError, match=r"^gradients: .*: all together$"):
        optim.clip_grad_norm(each, 1.0)
    assert optim.norms({"a": np.array([np.inf, 1e200])}) == {"a": np.inf}
    assert np.isnan(optim.grad_norm({"a": np.array([np.nan, np.inf, 1e200])}))


def test_clipping_what_cannot_be() -> None:
    fixed = gradients()
    fixed["b"].flags.writeable = False
    for clip, bound in ((optim.clip_grad_norm, "max_norm"), (optim.clip_grad_value, "max_value")):
        for wrong in (None, [1], {"a": 1}, {"a": [1.0]}, {"a": np.ones(2, int)}, {"a": np.ones(2, np.float16)}, fixed):
            before = copy.deepcopy(wrong)
            with pytest.raises((ValueError, TypeError), match=r"^gradients: "):
                clip(wrong, 1e-3)
            if wrong is fixed:
                check_same_bits(fixed, before)
        for wrong in (None, "a", True, np.nan, -1, np.inf):
            with pytest.raises((ValueError, TypeError), match=rf"^{bound}: "):
                clip(gradients(), wrong)
    for wrong in (np.nan, np.inf):
        found = gradients()
        found["b"][2] = wrong
        before = copy.deepcopy(found)
        with pytest.raises(ValueError, match=r"^gradients: expected finite numbers.*: b$"):
            optim.clip_grad_norm(found, 1.0)
        check_same_bits(found, before)
    found = {"a": np.array([np.nan, 5, -5], np.float32)}
    optim.clip_grad_value(found, 2)
    np.testing.assert_array_equal(found["a"], [np.nan, 2, -2])


def test_schedules() -> None:
    assert [optim.constant()(step) for step in (0, 5)] == [1, 1]
    assert [optim.step_decay(2, 0.5)(step) for step in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert optim.step_decay(2, 0)(5) == 0
    rate = optim.cosine(10, final=0.1)
    assert [rate(0), rate(10), rate(1000)] == [1, 0.1, 0.1]
    np.testing.assert_allclose(rate(5), 0.55)
    rate = optim.warmup(4, optim.step_decay(3, 0.5))
    np.testing.assert_allclose([rate(step) for step in range(9)], [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 0.5, 0.5])
    assert optim.warmup(2)(10) == 1


def test_schedules_of_wrong_numbers() -> None:
    for wrong in (0, -1, 1.5, None, "a", True):
        for name, make in (("every", optim.step_decay), ("steps", optim.cosine), ("steps", optim.warmup)):
            with pytest.raises((ValueError, TypeError), match=rf"^{name}: "):
                make(wrong)
    for wrong in (None, "a", -1, np.nan, np.inf, True):
        with pytest.raises((ValueError, TypeError), match=r"^factor: "):
            optim.step_decay(2, wrong)
        with pytest.raises((ValueError, TypeError), match=r"^final: "):
            optim.cosine(2, wrong)
    with pytest.raises(TypeError, match=r"^then: "):
        optim.warmup(2, 0.5)
