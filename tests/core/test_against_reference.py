"""Every combination of what the layers do, against the reference: values and gradients, both dtypes, every ISA.

Three sets of problems. The *core*: the full product of the options that decide which code runs, at one small shape.
The *options*: all of them, and sizes, chosen so that every pair of values of any two of them is met. The *shapes*:
every size of shapes.py and the extremes, one at a time.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
import shapes
from kinds import KINDS, ONE_OF_EACH, every_dtype
from problems import Arrays, Problem, check_all_same_bits, covering, forward, record, record_reference
from tolerances import check_all_float32, check_float64

CORE = [
    Problem(
        kind,
        steps=4,
        batch=4,
        inputs=3,
        hidden=9,
        layers=layers,
        bidirectional=bidirectional,
        bias=bias,
        lengths=lengths,
        reset=reset,
        state=state,
        cells=kind.startswith("lstm"),
    )
    for kind, layers, bidirectional, bias, lengths, reset, state in itertools.product(
        KINDS, (1, 2), (False, True), (True, False), ("none", "ragged"), (False, True), (True, False)
    )
]

OPTIONS = covering(
    {
        "kind": KINDS,
        "steps": (1, 2, 3, 9, 19),
        "batch": (1, 3, 6, 7, 13, 25),
        "inputs": (1, 5, 16, 33),
        # Not 1: a gradient of one element may cancel over time and batch, and then has no scale to measure against.
        "hidden": (2, 15, 16, 17, 31, 33, 65),
        "layers": (1, 2, 3),
        "bidirectional": (False, True),
        "bias": (True, False),
        "layout": ("time first", "batch first", "unbatched"),
        "lengths": ("none", "ragged", "full"),
        "reset": (False, True),
        "dropout": (False, True),
        "cells": (False, True),
        "state": (True, False),
        "truncate": (None, 1, 2, 3, 100),
        "gradient": ("both", "y", "state", "one part"),
    }
)

ALL_SHAPES = [
    *(Problem(kind, steps=3, batch=7, inputs=5, hidden=h) for kind in ONE_OF_EACH for h in shapes.HIDDEN),
    *(Problem(kind, steps=3, batch=7, inputs=i, hidden=17) for kind in ONE_OF_EACH for i in shapes.INPUTS),
    *(Problem(kind, steps=5, batch=b, inputs=17, hidden=17) for kind in ONE_OF_EACH for b in shapes.BATCH),
    *(Problem(kind, steps=t, batch=3, inputs=17, hidden=17) for kind in ONE_OF_EACH for t in shapes.STEPS),
    # Nothing to do, in every form.
    *(
        Problem(kind, steps=t, batch=b, layers=2, bidirectional=True, lengths=lengths, reset=True)
        for kind in KINDS
        for t, b in ((0, 3), (4, 0), (0, 0))
        for lengths in ("none", "ragged")
    ),
    *(Problem(kind, steps=0, batch=1, layout="unbatched") for kind in ONE_OF_EACH),
    *(Problem(kind, steps=0, batch=2, layout="batch first") for kind in ONE_OF_EACH),
]
SHAPES = [problem for problem in ALL_SHAPES if problem.valid]

# Beyond the width where the bound changes, and wide enough for several threads.
WIDE = [
    Problem("rnn tanh", steps=4, batch=5, inputs=1100, hidden=300),
    Problem("gru", steps=3, batch=2, inputs=30, hidden=1041),
    Problem("lstm", steps=3, batch=7, inputs=30, hidden=1041),
    Problem("lstm", steps=6, batch=13, inputs=1030, hidden=200, layers=2, bidirectional=True, lengths="ragged"),
]


# More row-steps than backward takes at a time.
LONG = [
    Problem("rnn tanh", steps=1700, batch=1, inputs=3, hidden=9),
    Problem("lstm proj", steps=180, batch=10, inputs=3, hidden=9, layers=2, lengths="ragged", reset=True),
    Problem("gru", steps=70, batch=30, inputs=3, hidden=9, bidirectional=True, lengths="ragged", truncate=20),
    Problem("lstm", steps=7, batch=520, inputs=3, hidden=9, bidirectional=True),
    Problem("gru", steps=700, batch=2, inputs=9, hidden=65),
]
# The same with enough work for two threads, which share out rows, or units, or directions.
LONG_ON_THREADS = [
    Problem("rnn tanh", steps=60, batch=40, inputs=17, hidden=65, lengths="ragged", reset=True),
    Problem("lstm proj", steps=600, batch=2, inputs=9, hidden=261),
    Problem("gru", steps=400, batch=3, inputs=9, hidden=161, bidirectional=True),
]


# Where the float32 bound says something: long products and many elements, on each side of where it changes.
ACCURACY = [
    Problem(kind, steps=5, batch=7, inputs=hidden, hidden=hidden) for kind in ONE_OF_EACH for hidden in (64, 256, 520)
]


@cache
def expected(problem: Problem, dtype: Any) -> Arrays:
    """Outputs and gradients of the reference, computed once for all ISAs."""
    outputs, gradients = record_reference(problem, dtype)
    return {**outputs, **gradients}


def check(problem: Problem, dtype: Any) -> None:
    layer = problem.fused(dtype)
    plain = forward(problem, layer, dtype)
    outputs, gradients = record(problem, layer, dtype)
    if not problem.dropout:
        check_all_same_bits(outputs, plain)
    ours, exact = {**outputs, **gradients}, expected(problem, np.float64)
    assert list(ours) == list(exact)
    if dtype is np.float64:
        for name in exact:
            check_float64(name, ours[name], exact[name])
        return
    numpys = expected(problem, np.float32)
    check_all_float32(ours, exact, numpys, problem.terms, problem.terms_backward, problem.layers)


@every_dtype
@pytest.mark.parametrize("problem", CORE, ids=str)
def test_core(problem: Problem, dtype: Any, isa: str) -> None:
    check(problem, dtype)


@every_dtype
@pytest.mark.parametrize("problem", OPTIONS, ids=str)
def test_options(problem: Problem, dtype: Any, isa: str) -> None:
    check(problem, dtype)


@every_dtype
@pytest.mark.parametrize("problem", SHAPES, ids=str)
def test_shapes(problem: Problem, dtype: Any, isa: str) -> None:
    check(problem, dtype)


@every_dtype
@pytest.mark.parametrize("problem", WIDE, ids=str)
def test_wide(problem: Problem, dtype: Any, isa: str) -> None:
    with fr.threads(2):
        check(problem, dtype)


@every_dtype
@pytest.mark.parametrize("problem", LONG, ids=str)
def test_long(problem: Problem, dtype: Any, isa: str) -> None:
    check(problem, dtype)


@every_dtype
@pytest.mark.parametrize("problem", LONG_ON_THREADS, ids=str)
def test_long_on_threads(problem: Problem, dtype: Any) -> None:
    with fr.threads(2):
        check(problem, dtype)


@pytest.mark.parametrize("problem", ACCURACY, ids=str)
def test_float32_accuracy(problem: Problem, isa: str) -> None:
    check(problem, np.float32)


@every_dtype
@pytest.mark.parametrize("problem", [p for p in OPTIONS if p.dropout][:12], ids=str)
def test_a_call_never_drops(problem: Problem, dtype: Any, isa: str) -> None:
    """What a dropout layer gives without recording is the reference without masks."""
    ours, exact = forward(problem, problem.fused(dtype), dtype), forward(problem, problem.reference(), np.float64)
    if dtype is np.float64:
        for name in exact:
            check_float64(name, ours[name], exact[name])
        return
    numpys = forward(problem, problem.reference(np.float32), np.float32)
    check_all_float32(ours, exact, numpys, problem.terms, problem.terms_backward, problem.layers)


def test_the_problems_cover_what_they_say() -> None:
    """Guards the design itself: every kind with every other option, in at least one problem of OPTIONS."""
    for kind in KINDS:
        seen = [problem for problem in OPTIONS if problem.kind == kind]
        for name, values in {
            "layers": {1, 2, 3},
            "bidirectional": {False, True},
            "bias": {False, True},
            "layout": {"time first", "batch first", "unbatched"},
            "lengths": {"none", "ragged", "full"},
            "reset": {False, True},
            "dropout": {False, True},
            "state": {False, True},
            "truncate": {None, 1, 2, 3, 100},
        }.items():
            assert {getattr(problem, name) for problem in seen} == values, (kind, name)
    ragged = [problem for problem in OPTIONS if problem.lengths == "ragged" and problem.batch > 2]
    assert all((problem.row_lengths() == 0).any() for problem in ragged)
    assert any((np.diff(problem.row_lengths()) > 0).any() for problem in ragged)
