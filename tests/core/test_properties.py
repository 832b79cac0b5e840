"""Properties that hold for every network, searched by hypothesis: sizes, strides, options, lengths, resets.

Examples are the same on every run under CI (derandomized); HYPOTHESIS_PROFILE=search looks for much longer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st

import fusedrnn as fr
from kinds import DTYPES, KINDS
from problems import (
    Arrays,
    Problem,
    bits,
    check_all_same_bits,
    check_same_bits,
    forward,
    named_gradients,
    named_outputs,
    parts,
    record,
    record_reference,
    rows_of,
    state_like,
    use_isa,
)
from small_layers import locked, unaligned
from tolerances import FLOAT64, check_all_float32, check_float64, check_same_numbers, scale_of

isas = st.sampled_from(fr.available_isas())
dtypes = st.sampled_from(DTYPES)
widths = st.integers(1, 70)


@st.composite
def problems(draw: st.DrawFn, **fixed: Any) -> Problem:
    """Any problem a layer takes; `fixed` options are as given."""
    layout = draw(st.sampled_from(("time first", "batch first", "unbatched")))
    layers = draw(st.integers(1, 3))
    options: dict[str, Any] = {
        "kind": draw(st.sampled_from(KINDS)),
        "steps": draw(st.integers(0, 12)),
        "batch": 1 if layout == "unbatched" else draw(st.integers(0, 27)),
        "inputs": draw(widths),
        "hidden": draw(widths),
        "layers": layers,
        "bidirectional": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "layout": layout,
        "lengths": "none" if layout == "unbatched" else draw(st.sampled_from(("none", "ragged", "full"))),
        "reset": draw(st.booleans()),
        "dropout": layers > 1 and draw(st.booleans()),
        "state": draw(st.booleans()),
        "truncate": draw(st.one_of(st.none(), st.integers(1, 13))),
        "gradient": draw(st.sampled_from(("both", "y", "state"))),
        "seed": draw(st.integers(0, 99)),
    }
    problem = Problem(**{**options, **fixed})
    assume(problem.valid)
    return problem


time_major = problems(layout="time first")
plain = problems(layout="time first", lengths="none", reset=False, dropout=False, truncate=None, gradient="both")
one_way = problems(layout="time first", bidirectional=False, dropout=False, state=True, truncate=None, lengths="none")


# Against the reference


@given(problems(), dtypes, isas)
@example(Problem("gru", steps=0, batch=0, lengths="ragged"), np.float32, "scalar")
def test_equals_reference(problem: Problem, dtype: Any, isa: str) -> None:
    with use_isa(isa):
        outputs, gradients = record(problem, problem.fused(dtype), dtype)
    ours = {**outputs, **gradients}
    exact = {name: array for part in record_reference(problem, np.float64) for name, array in part.items()}
    if dtype is np.float64:
        for name in exact:
            check_float64(name, ours[name], exact[name])
    elif problem.hidden > 1:  # a gradient of one element may cancel, and then has no scale
        numpys = {name: array for part in record_reference(problem, np.float32) for name, array in part.items()}
        check_all_float32(ours, exact, numpys, problem.terms, problem.terms_backward, problem.layers)


@given(problems(dropout=False), dtypes, isas)
def test_recorded_is_called(problem: Problem, dtype: Any, isa: str) -> None:
    with use_isa(isa):
        layer = problem.fused(dtype)
        check_all_same_bits(record(problem, layer, dtype)[0], forward(problem, layer, dtype))


@given(plain, st.integers(0, 2**32), isas)
def test_gradient_is_the_slope(problem: Problem, seed: int, isa: str) -> None:
    """Along any direction through x, the state and the parameters, in float64, by central differences."""
    # A kink has no slope.
    assume(problem.steps * problem.batch > 0 and "relu" not in problem.kind)
    generator = np.random.default_rng(seed)
    layer, x, state = problem.fused(np.float64), problem.x(np.float64), problem._state_like("state", np.float64)
    dy, dstate = problem.gradients(np.float64)
    given_arrays = [x, *parts(state), *layer.params.values()]
    along = [generator.standard_normal(array.shape) for array in given_arrays]
    size = np.sqrt(sum(float((a * a).sum()) for a in along))
    step = float(np.finfo(np.float64).eps) ** (1 / 3)

    def loss(amount: float) -> float:
        moved = [array + amount / size * a for array, a in zip(given_arrays, along, strict=True)]
        count = len(parts(state))
        other = problem.fused(np.float64)
        other.load_params(dict(zip(layer.params, moved[1 + count :], strict=True)))
        y, last = other(moved[0], state_like(state, moved[1 : 1 + count]))
        ends = sum(float((a * b).sum()) for a, b in zip(parts(last), parts(dstate), strict=True))
        return float((y * dy).sum()) + ends

    with use_isa(isa):
        slope = (loss(step) - loss(-step)) / (2 * step)
        gradients = layer.record(x, state)[-1].backward(dy, dstate)
    ours = [gradients.x, *parts(gradients.state), *gradients.params.values()]
    terms = [float((a * g).sum()) / size for a, g in zip(along, ours, strict=True)]
    # Differences: rounding of a loss of this size over the step, and a third derivative of its order times step^2.
    magnitude = 1 + abs(loss(0.0)) + sum(map(abs, terms)) + np.sqrt(sum(float((g * g).sum()) for g in ours))
    assert abs(slope - sum(terms)) <= 100 * step**2 * magnitude


# How arrays lie in memory


def spread(a: np.ndarray, axis: int, step: int) -> np.ndarray:
    """Every `step`th element of an axis of a larger array of NaN, in reverse where negative."""
    if not a.ndim:
        return a
    axis %= a.ndim
    shape = list(a.shape)
    shape[axis] = max(1, shape[axis] * abs(step))
    filler = np.nan if a.dtype.kind == "f" else True if a.dtype.kind == "b" else 10**6
    larger = np.full(shape, filler, a.dtype)
    index = [slice(None)] * a.ndim
    count = a.shape[axis]
    index[axis] = slice(0, count * abs(step), abs(step))
    view = larger[tuple(index)]
    if step < 0:
        index[axis] = slice(None, None, -1)
        view = view[tuple(index)]
    view[...] = a
    return view


@st.composite
def views(draw: st.DrawFn) -> Callable[[np.ndarray], np.ndarray]:
    """A function that gives an array of the same values, arranged otherwise in memory."""
    kind = draw(st.sampled_from(("same", "Fortran", "unaligned", "read-only", "spread", "twice")))
    axis, step = draw(st.integers(0, 2)), draw(st.sampled_from((-3, -2, -1, 2, 3)))
    simple = {"same": np.array, "Fortran": np.asfortranarray, "unaligned": unaligned, "read-only": locked}
    if kind in simple:
        return simple[kind]
    if kind == "spread":
        return lambda a: spread(a, axis, step)
    return lambda a: spread(spread(a, axis, step), axis + 1, -step)


@given(problems(), dtypes, isas, st.lists(views(), min_size=6, max_size=6))
def test_strides_do_not_matter(problem: Problem, dtype: Any, isa: str, view: list[Any]) -> None:
    with use_isa(isa):
        expected = record(problem, problem.fused(dtype), dtype)
        layer = problem.fused(dtype)
        arguments = problem.arguments(dtype)
        viewed: dict[str, Any] = {"state": None}
        if arguments["state"] is not None:
            seen = [see(part) for see, part in zip(view, parts(arguments["state"]), strict=False)]
            viewed["state"] = state_like(arguments["state"], seen)
        for name, see in (("lengths", view[2]), ("reset", view[3])):
            if name in arguments:
                viewed[name] = see(arguments[name])
        x = view[4](problem.x(dtype))
        before = bits(x)
        *result, tape = layer.record(x, **viewed)
        dy, dstate = problem.gradients(dtype)
        seen_dstate = dstate
        if dstate is not None:
            seen_dstate = state_like(dstate, [see(p) for see, p in zip(view, parts(dstate), strict=False)])
        gradients = tape.backward(None if dy is None else view[5](dy), seen_dstate, problem.truncate)
    check_all_same_bits(named_outputs(result, False), expected[0])
    check_all_same_bits(named_gradients(gradients), expected[1])
    np.testing.assert_array_equal(bits(x), before)


@given(plain, dtypes, isas)
def test_broadcast_input(problem: Problem, dtype: Any, isa: str) -> None:
    """Strides of zero in time and batch."""
    x = np.broadcast_to(
        problem.draw("one", problem.inputs).astype(dtype), (problem.steps, problem.batch, problem.inputs)
    )
    with use_isa(isa):
        layer = problem.fused(dtype)
        check_same_bits("y", layer(x)[0], layer(x.copy())[0])


@given(problems(layout="time first", bidirectional=False), dtypes, isas, views())
def test_stream_writes_its_output_and_nothing_else(problem: Problem, dtype: Any, isa: str, view: Any) -> None:
    assume(problem.batch > 0)
    with use_isa(isa):
        layer = problem.fused(dtype)
        x = problem.draw("x", problem.steps, problem.batch, problem.inputs).astype(dtype)
        whole, _ = layer(x)
        stream = layer.stream(problem.batch)
        for step, expected in zip(x, whole, strict=True):
            guarded = np.full((problem.batch + 2, problem.output + 2), 7, dtype)
            out = guarded[1:-1, 1:-1]
            assert stream.step(view(step), out=out) is out
            check_same_bits("y", out, expected)
            guarded[1:-1, 1:-1] = 7
            assert (guarded == 7).all()


# Time


@given(one_way, dtypes, isas, st.data())
def test_any_cut_is_the_whole(problem: Problem, dtype: Any, isa: str, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, problem.steps), max_size=4).map(sorted))
    x, arguments = problem.x(dtype), problem.arguments(dtype)
    with use_isa(isa):
        layer = problem.fused(dtype)
        whole = forward(problem, layer, dtype)
        state, ys, reset = arguments["state"], [], arguments.get("reset")
        for begin, end in itertools.pairwise([0, *cuts, problem.steps]):
            y, state = layer(x[begin:end], state, reset=None if reset is None else reset[begin:end])
            ys.append(y)
    check_all_same_bits(named_outputs((np.concatenate(ys), state), False), whole)


@given(one_way, isas, st.data())
def test_gradients_chain_over_a_cut(problem: Problem, isa: str, data: st.DataObject) -> None:
    """The second call's gradient of its initial state is the first call's of its final state."""
    problem = replace(problem, gradient="both")
    cut = data.draw(st.integers(0, problem.steps))
    x, arguments = problem.x(np.float64), problem.arguments(np.float64)
    dy, dstate = problem.gradients(np.float64)
    assert dy is not None
    reset = arguments.get("reset", np.zeros((problem.steps, problem.batch), bool))
    with use_isa(isa):
        layer = problem.fused(np.float64)
        whole = layer.record(x, arguments["state"], reset=reset)[-1].backward(dy, dstate)
        _, state, first = layer.record(x[:cut], arguments["state"], reset=reset[:cut])
        _, _, second = layer.record(x[cut:], state, reset=reset[cut:])
        after = second.backward(dy[cut:], dstate)
        before = first.backward(dy[:cut], after.state)
    check_same_numbers("d x", np.concatenate([before.x, after.x]), whole.x)
    for ours, theirs in zip(parts(before.state), parts(whole.state), strict=True):
        check_same_numbers("d state", ours, theirs)
    for name, theirs in whole.params.items():
        one, other = before.params[name], after.params[name]
        assert np.abs(one + other - theirs).max(initial=0) <= FLOAT64 * max(map(scale_of, (one, other, theirs)))


@given(one_way, isas, st.integers(1, 13))
def test_truncation_is_separate_calls(problem: Problem, isa: str, window: int) -> None:
    """Separate calls, one a truncation window, counted from the end, with the state carried as a constant."""
    problem = replace(problem, gradient="both")
    x, arguments = problem.x(np.float64), problem.arguments(np.float64)
    dy, dstate = problem.gradients(np.float64)
    assert dy is not None
    reset = arguments.get("reset", np.zeros((problem.steps, problem.batch), bool))
    edges = [0, *range(problem.steps % window or window, problem.steps, window), problem.steps]
    with use_isa(isa):
        layer = problem.fused(np.float64)
        whole = layer.record(x, arguments["state"], reset=reset)[-1].backward(dy, dstate, truncate=window)
        state, found = arguments["state"], []
        for begin, end in itertools.pairwise(edges):
            _, state, tape = layer.record(x[begin:end], state, reset=reset[begin:end])
            found.append(tape.backward(dy[begin:end], dstate if end == problem.steps else None))
    if problem.layers == 1:  # in a stack each layer is cut by itself, separate calls cut all at once
        check_same_numbers("d x", np.concatenate([one.x for one in found]), whole.x)
        for name, theirs in whole.params.items():
            each = [one.params[name] for one in found]
            assert np.abs(sum(each) - theirs).max(initial=0) <= FLOAT64 * max(map(scale_of, (*each, theirs)))
    for ours, theirs in zip(parts(found[0].state), parts(whole.state), strict=True):
        check_same_numbers("d state", ours, theirs)


@given(problems(layout="time first", dropout=False, gradient="both"), dtypes, isas)
def test_truncation_beyond_the_end_is_none(problem: Problem, dtype: Any, isa: str) -> None:
    """At T exactly: test_tape.py."""
    with use_isa(isa):
        layer = problem.fused(dtype)
        full = record(replace(problem, truncate=None), layer, dtype)[1]
        check_all_same_bits(record(replace(problem, truncate=problem.steps + 1), layer, dtype)[1], full)


@given(problems(layers=1, layout="time first", bidirectional=True, lengths="none", reset=False), dtypes, isas)
def test_the_second_direction_is_the_first_of_the_flipped(problem: Problem, dtype: Any, isa: str) -> None:
    single = replace(problem, bidirectional=False)
    x, state = problem.x(dtype), problem._state_like("state", dtype)
    with use_isa(isa):
        layer, other = problem.fused(dtype), single.fused(dtype)
        turned = {name: array for name, array in layer.params.items() if name.endswith("_reverse")}
        other.load_params({name.removesuffix("_reverse"): array for name, array in turned.items()})
        y, last = layer(x, state)
        ours = other(np.ascontiguousarray(x[::-1]), states_of_directions(state, [1]))
    check_same_bits("y", ours[0], np.ascontiguousarray(y[::-1, :, problem.output :]))
    for mine, theirs in zip(parts(ours[1]), parts(last), strict=True):
        check_same_bits("state", mine, theirs[1:])


def states_of_directions(state: Any, indices: list[int]) -> Any:
    return state_like(state, [np.ascontiguousarray(part[indices]) for part in parts(state)])


@given(one_way, dtypes, isas, st.data())
def test_a_reset_begins_anew(problem: Problem, dtype: Any, isa: str, data: st.DataObject) -> None:
    """From a step where all rows are reset, everything is the call on the rest, and no gradient crosses."""
    assume(problem.steps > 0)
    t = data.draw(st.integers(0, problem.steps - 1))
    problem = replace(problem, reset=False, gradient="both")
    reset = np.zeros((problem.steps, problem.batch), bool)
    reset[t] = True
    x, state = problem.x(dtype), problem.arguments(dtype)["state"]
    dy, dstate = problem.gradients(dtype)
    assert dy is not None
    with use_isa(isa):
        layer = problem.fused(dtype)
        y, last, tape = layer.record(x, state, reset=reset)
        rest, end, rest_tape = layer.record(x[t:])
        gradients, expected = tape.backward(dy, dstate), rest_tape.backward(dy[t:], dstate)
        first = layer.record(x[:t], state)[-1].backward(dy[:t])
    check_all_same_bits(named_outputs((y[t:], last), False), named_outputs((rest, end), False))
    check_same_bits("d x", gradients.x[t:], expected.x)
    check_same_bits("d x before", gradients.x[:t], first.x)
    for ours, theirs in zip(parts(gradients.state), parts(first.state), strict=True):
        check_same_bits("d state", ours, theirs)


# Rows


@given(time_major, dtypes, isas, st.randoms(use_true_random=False))
def test_rows_may_be_permuted(problem: Problem, dtype: Any, isa: str, random: Any) -> None:
    problem = replace(problem, dropout=False)
    rows = np.array(random.sample(range(problem.batch), problem.batch), np.int64)
    x, arguments = problem.x(dtype), problem.arguments(dtype)
    dy, dstate = problem.gradients(dtype)
    moved = {"state": rows_of(arguments["state"], rows)}
    if "lengths" in arguments:
        moved["lengths"] = arguments["lengths"][rows]
    if "reset" in arguments:
        moved["reset"] = arguments["reset"][:, rows]
    with use_isa(isa):
        layer = problem.fused(dtype)
        y, last, tape = layer.record(x, **arguments)
        moved_y, moved_last, moved_tape = layer.record(x[:, rows], **moved)
        gradients = tape.backward(dy, dstate, problem.truncate)
        dstate = rows_of(dstate, rows)
        moved_gradients = moved_tape.backward(None if dy is None else dy[:, rows], dstate, problem.truncate)
    check_same_bits("y", moved_y, y[:, rows])
    check_same_bits("d x", moved_gradients.x, gradients.x[:, rows])
    for ours, theirs in zip(
        (*parts(moved_last), *parts(moved_gradients.state)), (*parts(last), *parts(gradients.state)), strict=True
    ):
        check_same_bits("state", ours, theirs[:, rows])


@given(plain, isas, st.data())
def test_parameter_gradients_add_over_rows(problem: Problem, isa: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, problem.batch))
    x, state = problem.x(np.float64), problem._state_like("state", np.float64)
    dy, dstate = problem.gradients(np.float64)
    assert dy is not None

    def gradients(rows: slice) -> Arrays:
        tape = layer.record(x[:, rows], rows_of(state, rows))[-1]
        return tape.backward(dy[:, rows], rows_of(dstate, rows)).params  # type: ignore[no-any-return]

    with use_isa(isa):
        layer = problem.fused(np.float64)
        whole, one, other = gradients(slice(None)), gradients(slice(cut)), gradients(slice(cut, None))
    for name in whole:
        arrays = one[name], other[name], whole[name]
        assert np.abs(arrays[0] + arrays[1] - arrays[2]).max(initial=0) <= FLOAT64 * max(map(scale_of, arrays))


@given(problems(layout="time first", lengths="ragged", dropout=False), dtypes, isas, st.sampled_from([0, 1e30, np.inf]))
def test_padding_does_not_matter(problem: Problem, dtype: Any, isa: str, filler: float) -> None:
    """Whatever x and dy hold past a row's end: NaN, as the problem has it, or something else."""
    x, arguments = problem.x(dtype), problem.arguments(dtype)
    dy, dstate = problem.gradients(dtype)
    with use_isa(isa):
        layer = problem.fused(dtype)
        expected = record(problem, layer, dtype)
        x[problem.padding()] = filler
        if dy is not None:
            dy[problem.padding()] = filler
        y, last, tape = layer.record(x, **arguments)
        gradients = named_gradients(tape.backward(dy, dstate, problem.truncate))
    check_all_same_bits(named_outputs((y, last), False), expected[0])
    check_all_same_bits(gradients, expected[1])
    assert not y[problem.padding()].any()
    assert not gradients["d x"][problem.padding()].any()


# Algebra


@given(plain, dtypes, isas, st.sampled_from((-2.0, 0.5, 4.0)))
def test_backward_is_linear_in_what_enters(problem: Problem, dtype: Any, isa: str, factor: float) -> None:
    """Times a power of two: to the bit."""
    dy, dstate = problem.gradients(dtype)
    assert dy is not None
    x, state = problem.x(dtype), problem._state_like("state", dtype)
    with use_isa(isa):
        layer = problem.fused(dtype)
        once = named_gradients(layer.record(x, state)[-1].backward(dy, dstate))
        scaled = state_like(dstate, [part * dtype(factor) for part in parts(dstate)])
        more = named_gradients(layer.record(x, state)[-1].backward(dy * dtype(factor), scaled))
    for name in once:
        # Zeros may differ in sign; numbers near the smallest are flushed, and these have gone below it by chance only.
        np.testing.assert_array_equal(more[name], once[name] * dtype(factor), err_msg=name)


@given(problems(kind="rnn identity", layout="time first", lengths="none", bias=False, dropout=False), dtypes, isas)
def test_the_identity_network_is_linear(problem: Problem, dtype: Any, isa: str) -> None:
    x = problem.x(dtype)
    with use_isa(isa):
        layer = problem.fused(dtype)
        np.testing.assert_array_equal(layer(x * dtype(-4))[0], layer(x)[0] * dtype(-4))
        assert not layer(np.zeros_like(x))[0].any()


@given(plain, isas, st.randoms(use_true_random=False))
def test_inputs_may_be_permuted_with_their_weights(problem: Problem, isa: str, random: Any) -> None:
    columns = random.sample(range(problem.inputs), problem.inputs)
    x = problem.x(np.float64)
    with use_isa(isa):
        layer, other = problem.fused(np.float64), problem.fused(np.float64)
        for name in other.params:
            if name.startswith("weight_ih_l0"):
                other.params[name] = other.params[name][:, columns]
        check_same_numbers("y", other(np.ascontiguousarray(x[:, :, columns]))[0], layer(x)[0])


@given(
    problems(layers=1, layout="time first", bidirectional=False, dropout=False), isas, st.randoms(use_true_random=False)
)
def test_units_may_be_permuted(problem: Problem, isa: str, random: Any) -> None:
    """Hidden units have no order: permuted weights give permuted outputs."""
    assume(not problem.proj_size)
    units = random.sample(range(problem.hidden), problem.hidden)
    arguments = problem.arguments(np.float64)
    x, state = problem.x(np.float64), arguments.pop("state")
    with use_isa(isa):
        layer, other = problem.fused(np.float64), problem.fused(np.float64)
        for name, array in layer.params.items():
            gates = array.reshape(-1, problem.hidden, *array.shape[1:])[:, units].reshape(array.shape)
            other.params[name] = gates[:, units] if name.startswith("weight_hh") else gates
        y, last = layer(x, state, **arguments)
        if state is not None:
            state = state_like(state, [np.ascontiguousarray(part[..., units]) for part in parts(state)])
        moved, moved_last = other(x, state, **arguments)
    check_same_numbers("y", moved, y[..., units])
    for ours, theirs in zip(parts(moved_last), parts(last), strict=True):
        check_same_numbers("state", ours, theirs[..., units])


@given(problems(bias=True, layout="time first", dropout=False), isas)
def test_the_two_biases_add(problem: Problem, isa: str) -> None:
    """But for the part of a GRU's b_hh that its reset gate scales."""
    assume(problem.cell != "gru")
    arguments = problem.arguments(np.float64)
    with use_isa(isa):
        layer, other = problem.fused(np.float64), problem.fused(np.float64)
        for name in other.params:
            if name.startswith("bias_hh"):
                other.params[name.replace("hh", "ih")] += other.params[name]
                other.params[name][...] = 0
        x = problem.x(np.float64)
        check_same_numbers("y", other(x, **arguments)[0], layer(x, **arguments)[0])


@given(problems(kind="lstm", dropout=False), dtypes, isas)
def test_the_last_cell_is_the_state(problem: Problem, dtype: Any, isa: str) -> None:
    """`return_cell` ends in c_n, is zero in the padding, and changes nothing else."""
    with use_isa(isa):
        layer = problem.fused(dtype)
        with_cells = forward(replace(problem, cells=True), layer, dtype)
        cells = problem.time_major(with_cells.pop("cells"))
        check_all_same_bits(with_cells, forward(problem, layer, dtype))
    last = with_cells["c_n"].reshape(problem.layers, problem.directions, problem.batch, problem.hidden)[-1]
    assert not cells[problem.padding()].any()
    for row, length in enumerate(problem.row_lengths()):
        if length:
            check_same_bits("forward", cells[length - 1, row, : problem.hidden], last[0, row])
            if problem.bidirectional:
                check_same_bits("backward", cells[0, row, problem.hidden :], last[1, row])
