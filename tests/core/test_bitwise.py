"""Equal to the bit: what a row gives depends on nothing but the row, the weights and the equations.

Not on the batch around it, its position, the threads, how the sequence was cut, or the instruction set. The scalar
build has no fused multiply-add and so its own bits, but everything else here holds for it too.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from kinds import FUSED_MULTIPLY_ADD, KINDS, ONE_OF_EACH, every_dtype, every_kind, two_instruction_sets
from problems import (
    STACKS,
    Arrays,
    Problem,
    check_all_same_bits,
    check_same_bits,
    every_stack,
    forward,
    named_gradients,
    named_outputs,
    record,
    rows_of,
    teams,
    use_isa,
)
from splits import DX_OVERLAPPED, SPLITS

SIZES = [(5, 15), (16, 17), (33, 65), (40, 129)]


# A row and its batch


def some_rows(problem: Problem, dtype: Any, layer: Any, rows: np.ndarray) -> tuple[Arrays, Arrays]:
    """Outputs and per-row gradients of the call on these rows of the problem, in this order."""
    state = rows_of(problem.arguments(dtype)["state"], rows)
    dy, dstate = problem.gradients(dtype)
    assert dy is not None
    y, last, tape = layer.record(np.ascontiguousarray(problem.x(dtype)[:, rows]), state)
    gradients = tape.backward(np.ascontiguousarray(dy[:, rows]), rows_of(dstate, rows))
    per_row = {name: a for name, a in named_gradients(gradients).items() if name in ("d x", "d h0", "d c0")}
    return named_outputs((y, last), False), per_row


def rows_equal(whole: tuple[Arrays, Arrays], part: tuple[Arrays, Arrays], rows: np.ndarray, where: str) -> None:
    for all_rows, few in zip(whole, part, strict=True):
        assert list(all_rows) == list(few)
        for name in few:
            check_same_bits(f"{name} {where}", few[name], all_rows[name][:, rows])


@every_dtype
@every_kind
@pytest.mark.parametrize(
    ("inputs", "hidden", "stack"), [*((*s, {}) for s in SIZES), *((*s, STACKS[1]) for s in SIZES[:2])]
)
def test_row_alone_in_7_and_in_64(
    kind: str, inputs: int, hidden: int, stack: dict[str, Any], dtype: Any, isa: str
) -> None:
    problem = Problem(kind, steps=4, batch=64, inputs=inputs, hidden=hidden, **stack)
    layer = problem.fused(dtype)
    whole = some_rows(problem, dtype, layer, np.arange(64))
    generator = np.random.default_rng(0)
    for row, position in ((0, 6), (5, 0), (63, 3)):
        alone = np.array([row])
        rows_equal(whole, some_rows(problem, dtype, layer, alone), alone, f"of row {row} alone")
        seven = generator.permutation(np.setdiff1d(np.arange(64), alone))[:7]
        seven[position] = row
        rows_equal(whole, some_rows(problem, dtype, layer, seven), seven, f"of row {row} at {position} of 7")
    for rows in (3, 4, 8):  # where tiles become high enough, and the input is no longer projected ahead
        few = generator.permutation(64)[:rows]
        rows_equal(whole, some_rows(problem, dtype, layer, few), few, f"of {rows} rows")


@every_dtype
@every_kind
@pytest.mark.parametrize(("inputs", "hidden"), [(9, 17), (20, 64), (33, 80)])
def test_row_of_a_long_sequence(kind: str, inputs: int, hidden: int, dtype: Any, isa: str) -> None:
    """Many chunks of projected input, whose length depends on the rows."""
    problem = Problem(kind, steps=130, batch=26, inputs=inputs, hidden=hidden)
    layer = problem.fused(dtype)
    whole = some_rows(problem, dtype, layer, np.arange(26))
    for rows in ([0], [25], [3, 11], list(range(5)), list(range(20, 26)), list(range(12))):
        few = np.array(rows)
        rows_equal(whole, some_rows(problem, dtype, layer, few), few, f"rows {rows}")


@every_dtype
@every_kind
def test_row_of_wide_layers(kind: str, dtype: Any, isa: str) -> None:
    """Weights beyond the L2 cache: the input of 8 rows is projected ahead, that of 50 is not."""
    problem = Problem(kind, steps=3, batch=50, inputs=257, hidden=300)
    layer = problem.fused(dtype)
    whole = some_rows(problem, dtype, layer, np.arange(50))
    for few in (np.arange(8), np.arange(40, 49)):
        rows_equal(whole, some_rows(problem, dtype, layer, few), few, f"rows {few}")


@every_dtype
@every_kind
@pytest.mark.parametrize("inputs", [5, 20])
def test_every_row_may_have_its_own_length_and_resets(kind: str, inputs: int, dtype: Any, isa: str) -> None:
    """A ragged batch with resets is its rows one by one, cut to their lengths. Input is projected across their ends."""
    problem = Problem(
        kind, steps=11, batch=13, inputs=inputs, hidden=17, layers=2, bidirectional=True, lengths="ragged", reset=True
    )
    layer = problem.fused(dtype)
    outputs, gradients = record(problem, layer, dtype)
    x, arguments = problem.x(dtype), problem.arguments(dtype)
    dy, dstate = problem.gradients(dtype)
    assert dy is not None
    for row, length in enumerate(arguments["lengths"]):
        one = np.array([row])
        y, last, tape = layer.record(
            x[:length, one], rows_of(arguments["state"], one), reset=arguments["reset"][:length, one]
        )
        alone = named_outputs((y, last), False)
        check_same_bits(f"y of row {row}", outputs["y"][:length, one], alone["y"])
        assert not outputs["y"][length:, row].any()
        assert not np.signbit(outputs["y"][length:, row]).any()
        for name in list(alone)[1:]:
            check_same_bits(f"{name} of row {row}", outputs[name][:, one], alone[name])
        expected = named_gradients(tape.backward(dy[:length, one], rows_of(dstate, one)))
        check_same_bits(f"d x of row {row}", gradients["d x"][:length, one], expected["d x"])
        assert not gradients["d x"][length:, row].any()
        for name in ("d h0", "d c0"):
            if name in expected:
                check_same_bits(f"{name} of row {row}", gradients[name][:, one], expected[name])


@every_dtype
@every_kind
@every_stack
def test_full_lengths_and_no_resets_are_none(kind: str, stack: dict[str, Any], dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=9, batch=7, inputs=5, hidden=33, **stack)
    layer = problem.fused(dtype)
    x, state = problem.x(dtype), problem.arguments(dtype)["state"]
    gradients = problem.gradients(dtype)

    def results(**masks: Any) -> tuple[Arrays, Arrays]:
        y, last, tape = layer.record(x, state, **masks)
        return named_outputs((y, last), False), named_gradients(tape.backward(*gradients))

    plain = results()
    for masks in ({"lengths": [9] * 7}, {"reset": np.zeros((9, 7), bool)}):
        for ours, theirs in zip(results(**masks), plain, strict=True):
            check_all_same_bits(ours, theirs, f"with {list(masks)}")


# Threads. That several of them do run is shown by test_threads.py.


@every_dtype
@pytest.mark.parametrize(
    "problem", [pytest.param(p, id=f"{by}: {p}") for by, problems in SPLITS.items() for p in problems]
)
def test_threads(problem: Problem, dtype: Any, isa: str) -> None:
    layer = problem.fused(dtype)
    with fr.threads(1):
        plain = forward(problem, layer, dtype)
        outputs, gradients = record(problem, layer, dtype)
    check_all_same_bits(outputs, plain)
    # Teams that keep their size, and teams that shrink and grow by chance in the middle of a sequence.
    for threads, mode in ((2, "fixed"), (3, "fixed"), (4, "fixed"), (2, "random"), (4, "random"), (2, "adaptive")):
        with fr.threads(threads), teams(mode):
            check_all_same_bits(forward(problem, layer, dtype), plain, f"on {threads} threads, {mode}")
            ours, theirs = record(problem, layer, dtype)
        check_all_same_bits(ours, plain, f"recorded on {threads} threads, {mode}")
        check_all_same_bits(theirs, gradients, f"on {threads} threads, {mode}")


# Cuts of a sequence. What a stream's methods do is shown by test_stepping.py.


def in_pieces(problem: Problem, dtype: Any, layer: Any, cuts: list[int]) -> Arrays:
    """The outputs of one call for each piece, the state carried over."""
    x, arguments = problem.x(dtype), problem.arguments(dtype)
    state, reset = arguments["state"], arguments.get("reset")
    edges = [0, *cuts, problem.steps]
    ys = []
    for begin, end in itertools.pairwise(edges):
        y, state = layer(x[begin:end], state, reset=None if reset is None else reset[begin:end])
        ys.append(y)
    return named_outputs((np.concatenate(ys), state), False)


@every_dtype
@every_kind
@pytest.mark.parametrize(
    ("batch", "inputs", "hidden", "layers"), [(1, 5, 17, 1), (1, 33, 80, 2), (3, 16, 16, 2), (25, 5, 33, 1)]
)
def test_pieces_and_stream(kind: str, batch: int, inputs: int, hidden: int, layers: int, dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=61, batch=batch, inputs=inputs, hidden=hidden, layers=layers, reset=True)
    layer = problem.fused(dtype)
    whole = forward(problem, layer, dtype)
    every_cut = [[1], [60], [30], [48], [47, 49], [7, 14, 21, 28], list(range(1, 61)), [0, 5, 5, 61]]
    for cuts in every_cut:
        check_all_same_bits(in_pieces(problem, dtype, layer, cuts), whole, f"cut at {cuts}")

    x, arguments = problem.x(dtype), problem.arguments(dtype)
    stream = layer.stream(batch)
    stream.state = arguments["state"]
    out = np.full(whole["y"].shape, np.nan, dtype)
    for t in range(problem.steps):
        stream.reset(rows=arguments["reset"][t])
        stream.step(x[t], out=out[t])
    check_all_same_bits(named_outputs((out, stream.state), False), whole, "streamed")


@every_dtype
@every_kind
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_pieces_on_several_threads(kind: str, threads: int, dtype: Any) -> None:
    problem = Problem(kind, steps=16, batch=1, inputs=33, hidden=320)
    layer = problem.fused(dtype)
    with fr.threads(1):
        whole = forward(problem, layer, dtype)
    with fr.threads(threads), teams("fixed"):
        for cuts in ([8], [1, 15], [5]):
            check_all_same_bits(in_pieces(problem, dtype, layer, cuts), whole, f"cut at {cuts}")
        stream = layer.stream()
        stream.state = problem.arguments(dtype)["state"]
        steps = np.stack([stream.step(step) for step in problem.x(dtype)])
        check_all_same_bits(named_outputs((steps, stream.state), False), whole, "streamed")


@every_dtype
@every_kind
def test_pieces_of_a_ragged_batch(kind: str, dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=20, batch=7, inputs=5, hidden=17, layers=2, lengths="ragged")
    layer = problem.fused(dtype)
    whole = forward(problem, layer, dtype)
    x, arguments = problem.x(dtype), problem.arguments(dtype)
    for cut in (1, 9, 19):
        state, lengths = arguments["state"], arguments["lengths"]
        first, state = layer(x[:cut], state, lengths=np.minimum(lengths, cut))
        second, state = layer(x[cut:], state, lengths=np.maximum(lengths - cut, 0))
        pieces = named_outputs((np.concatenate([first, second]), state), False)
        check_all_same_bits(pieces, whole, f"cut at {cut}")


# Checkpoints. Those with dropout, for every cell, are in test_tape.py.

CHECKPOINTED = [
    Problem("rnn tanh", steps=11, batch=7, inputs=5, hidden=17, layers=2, reset=True, truncate=3),
    Problem("rnn relu", steps=11, batch=25, inputs=5, hidden=17, lengths="ragged", reset=True),
    Problem("gru", steps=11, batch=7, inputs=5, hidden=33, layers=3, lengths="ragged", reset=True),
    Problem("gru", steps=11, batch=1, inputs=33, hidden=65, layout="unbatched", gradient="state"),
    Problem("lstm", steps=11, batch=13, inputs=5, hidden=17, lengths="ragged", cells=True, truncate=4),
    Problem("lstm", steps=11, batch=5, inputs=16, hidden=31, layers=2, dropout=True, layout="batch first", state=False),
    Problem("lstm proj", steps=11, batch=7, inputs=5, hidden=33, layers=2, reset=True),
    Problem("lstm", steps=0, batch=2),
    Problem("gru", steps=3, batch=0),
    # More row-steps than backward takes at a time.
    Problem("rnn tanh", steps=1600, batch=1, inputs=5, hidden=17, truncate=300),
    Problem("lstm proj", steps=230, batch=9, inputs=5, hidden=17, layers=2, lengths="ragged", reset=True),
    Problem("gru", steps=30, batch=70, inputs=5, hidden=17, lengths="ragged"),
]
CHECKPOINTED_ON_THREADS = [
    Problem("lstm", steps=20, batch=40, inputs=33, hidden=65, lengths="ragged"),
    Problem("lstm proj", steps=12, batch=1, inputs=33, hidden=300, reset=True),
    Problem("gru", steps=12, batch=1, inputs=33, hidden=257, layers=2),
    Problem("lstm", steps=120, batch=1, inputs=33, hidden=64, layers=3, reset=True),
    Problem("lstm", steps=60, batch=33, inputs=17, hidden=33, lengths="ragged", reset=True, truncate=25),
    # More row-steps than backward takes at a time, shared out by rows and by units.
    Problem("gru", steps=600, batch=3, inputs=33, hidden=129),
    Problem("rnn tanh", steps=60, batch=40, inputs=17, hidden=65, lengths="ragged", reset=True),
    Problem("rnn tanh", steps=1100, batch=1, inputs=9, hidden=321),
    Problem("lstm proj", steps=600, batch=2, inputs=9, hidden=261),
]


@every_dtype
@pytest.mark.parametrize("problem", CHECKPOINTED, ids=str)
def test_checkpoints(problem: Problem, dtype: Any, isa: str) -> None:
    """What is run again between two checkpoints is what was run the first time."""
    expected = record(problem, problem.fused(dtype), dtype)
    for checkpoint in (1, 2, 5, 11, 1000) if problem.steps < 20 else (7, 50, 1000):
        ours = record(problem, problem.fused(dtype), dtype, checkpoint=checkpoint)
        for got, wanted in zip(ours, expected, strict=True):
            check_all_same_bits(got, wanted, f"every {checkpoint}")


@every_dtype
@pytest.mark.parametrize("problem", CHECKPOINTED_ON_THREADS, ids=str)
def test_checkpoints_on_threads(problem: Problem, dtype: Any) -> None:
    layer = problem.fused(dtype)
    with fr.threads(1):
        expected = record(problem, layer, dtype)
    for threads, checkpoint in itertools.product((2, 4), (None, 1, 5) if problem.steps < 50 else (None, 50)):
        with fr.threads(threads), teams("random" if checkpoint == 5 else "fixed"):
            ours = record(problem, layer, dtype, checkpoint=checkpoint)
        for got, wanted in zip(ours, expected, strict=True):
            check_all_same_bits(got, wanted, f"every {checkpoint} on {threads} threads")


@every_kind
def test_checkpoints_keep_less(kind: str) -> None:
    problem = Problem(kind, steps=100, batch=8, inputs=4, hidden=64, lengths="ragged")
    x, arguments = problem.x(np.float32), problem.arguments(np.float32)
    layer = problem.fused()
    kept = {k: layer.record(x, **arguments, checkpoint=k)[-1].nbytes for k in (None, 1, 10, 50)}
    assert kept[50] < kept[10] < kept[1]
    assert kept[None] is not None
    if problem.has_cell:
        assert kept[10] < kept[None] / 3


# Instruction sets


COMPARED = [
    *(Problem(kind, steps=9, batch=1, inputs=5, hidden=129) for kind in ONE_OF_EACH),
    *(Problem(kind, steps=9, batch=7, inputs=33, hidden=17) for kind in ONE_OF_EACH),
    *(Problem(kind, steps=9, batch=26, inputs=15, hidden=15) for kind in ONE_OF_EACH),
    *(Problem(kind, steps=9, batch=5, inputs=5, hidden=33) for kind in KINDS if kind.startswith("rnn")),
    *(
        replace(options, kind=kind)
        for kind in ONE_OF_EACH
        for options in (
            Problem(
                steps=12, batch=13, inputs=33, hidden=31, layers=2, bidirectional=True, lengths="ragged", reset=True
            ),
            Problem(steps=300, batch=2, inputs=5, hidden=16, truncate=40),
            # One row, and what one row is when others have ended, for long enough to overlap input products.
            Problem(steps=31, batch=1, inputs=33, hidden=80, layers=2, bidirectional=True, reset=True),
            Problem(steps=64, batch=4, inputs=70, hidden=64, lengths="ragged", bidirectional=True),
        )
    ),
    Problem("lstm", steps=4, batch=3, inputs=600, hidden=300, cells=True, bias=False),
    *DX_OVERLAPPED,
    # The input of several rows is projected ahead, that of the longest one overlapped once the others have ended.
    Problem("lstm", steps=64, batch=4, inputs=257, hidden=130, lengths="ragged"),
]


@two_instruction_sets
@every_dtype
@pytest.mark.parametrize("problem", COMPARED, ids=str)
def test_instruction_sets(problem: Problem, dtype: Any) -> None:
    results = {}
    for name in FUSED_MULTIPLY_ADD:
        with use_isa(name):
            results[name] = (forward(problem, layer := problem.fused(dtype), dtype), *record(problem, layer, dtype))
    (first, expected), *others = results.items()
    for name, result in others:
        for ours, theirs in zip(result, expected, strict=True):
            check_all_same_bits(ours, theirs, f"{name} and {first}")


# One call and another


@every_dtype
@every_kind
@every_stack
def test_what_earlier_calls_left_does_not_matter(kind: str, stack: dict[str, Any], dtype: Any, isa: str) -> None:
    """Scratch memory is kept between calls: here calls of other shapes have filled it with NaN."""
    problem = Problem(kind, steps=9, batch=5, inputs=5, hidden=33, lengths="ragged", reset=True, **stack)
    fresh = problem.fused(dtype)
    expected = record(problem, fresh, dtype)
    used = problem.fused(dtype)
    for steps, batch in ((40, 30), (9, 5), (1, 1)):
        nan = np.full((steps, batch, 5), np.nan, dtype)
        y, last, tape = used.record(nan, lengths=None)
        assert np.isnan(y).all()
        tape.backward(y, last)
        used(nan)
    for ours, theirs in zip(record(problem, used, dtype), expected, strict=True):
        check_all_same_bits(ours, theirs)
    check_all_same_bits(forward(problem, used, dtype), expected[0])


@every_dtype
@every_kind
def test_again(kind: str, dtype: Any, isa: str) -> None:
    problem = Problem(kind, steps=9, batch=7, inputs=5, hidden=33, layers=2, bidirectional=True)
    layer, twin = problem.fused(dtype), problem.fused(dtype)
    expected = record(problem, layer, dtype)
    for other in (layer, twin, layer):
        for ours, theirs in zip(record(problem, other, dtype), expected, strict=True):
            check_all_same_bits(ours, theirs)


def test_these_tests_see_a_wrong_bit() -> None:
    a = np.ones((2, 3), np.float32)
    b = a.copy()
    b[1, 2] = np.nextafter(np.float32(1), np.float32(2))
    with pytest.raises(AssertionError, match=r"1 of 6 differ, first at \(1, 2\)"):
        check_same_bits("a", a, b)
    with pytest.raises(AssertionError):
        check_same_bits("zero", np.zeros(1), -np.zeros(1))
    check_same_bits("nan", np.full(1, np.nan), np.full(1, np.nan))


@every_dtype
@every_kind
@pytest.mark.parametrize(("recorded", "later"), list(itertools.permutations(fr.available_isas(), 2)))
def test_instruction_set_changes_under_way(kind: str, recorded: str, later: str, dtype: Any) -> None:
    """Streams and tapes go on as they were made; a layer follows the change, and its return."""
    problem = Problem(kind, steps=6, batch=5, inputs=17, hidden=33, layers=2)
    x, layer = problem.x(dtype), problem.fused(dtype)
    with use_isa(recorded):
        expected = record(problem, layer, dtype)
        y = layer(x)[0]
        stream = layer.stream(batch_size=5)
        tapes = {every: layer.record(x, **problem.arguments(dtype), checkpoint=every)[-1] for every in (None, 4)}
        first = stream.step(x[0])
    with use_isa(later):
        steps = np.stack([first, *(stream.step(x_t) for x_t in x[1:])])
        check_same_bits(f"stream made under {recorded}, {later} in force", steps, y)
        for every, tape in tapes.items():
            gradients = named_gradients(tape.backward(*problem.gradients(dtype)))
            check_all_same_bits(gradients, expected[1], f"checkpoint {every}: {recorded}, then {later}")
        check_same_bits(f"layer under {later}", layer(x)[0], problem.fused(dtype)(x)[0])
    with use_isa(recorded):
        check_same_bits(f"layer under {recorded} again", layer(x)[0], y)
