"""`python -m fusedrnn bench`: arguments, timing logic under a fake clock, the roofline's arithmetic, one small run.

Nothing here asserts on how long anything took.
"""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn
from fusedrnn.bench import cli, implementations, main, report, results, roofline, timing
from fusedrnn.bench.implementations import Candidate, UnavailableError, WrongResultError
from fusedrnn.bench.problem import CELLS, MODES, Problem, discrepancy, tolerance
from fusedrnn.bench.session import Entry, Outcome, Plan, Session
from fusedrnn.bench.shapes import GROUPS, SHAPES, Shape, select

SMALL = Shape("small", 2, 3, 4, 5)


class FakeClock:
    """Time that only passes when something is called."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.now += seconds

        return call


# Timing


def test_measure_is_the_mean_of_the_calls() -> None:
    clock = FakeClock()
    assert timing.measure(clock.work(0.5), 8, clock=clock) == (0.5, 0.5)
    assert clock.now == 4.0


@pytest.mark.parametrize(("calls", "part"), [(1, 1), (3, 1), (64, 1), (65, 1), (127, 1), (128, 2), (1000, 15)])
def test_measure_keeps_the_fastest_part(calls: int, part: int) -> None:
    clock = FakeClock()
    made = 0

    def call() -> None:
        nonlocal made
        made += 1
        clock.now += 1.0 if made <= part else 2.0

    assert timing.measure(call, calls, clock=clock) == ((2.0 * calls - part) / calls, 1.0)
    assert made == calls


def test_measure_does_not_count_the_warm_up() -> None:
    clock = FakeClock()
    durations = iter([10.0, 10.0, 1.0, 1.0])

    def call() -> None:
        clock.now += next(durations)

    assert timing.measure(call, 2, warm_up=15.0, clock=clock).mean == 1.0


@pytest.mark.parametrize(("each", "calls"), [(2**-10, 64), (2**-6, 4), (2**-4, 1), (1.0, 1)])
def test_calibrate_fills_the_time_with_at_least_one_call(each: float, calls: int) -> None:
    clock = FakeClock()
    assert timing.calibrate(clock.work(each), 2**-4, clock) == (calls, each)


def test_alternate_takes_everyone_once_a_round_and_nobody_always_first() -> None:
    order = [name for name, _ in timing.alternate({name: lambda: 0.0 for name in "abc"}, 4)]
    rounds = [order[k : k + 3] for k in range(0, 12, 3)]
    assert all(sorted(names) == list("abc") for names in rounds)
    assert [names[0] for names in rounds] == list("abca")


def test_alternate_with_nobody() -> None:
    assert list(timing.alternate({}, 3)) == []


def test_alternating_shares_a_disturbance() -> None:
    clock = FakeClock()
    slow = 1.0
    turns = 0

    def sampler(seconds: float) -> Callable[[], float]:
        def sample() -> float:
            nonlocal slow, turns
            turns += 1
            slow = 3.0 if turns > 6 else 1.0  # the machine slows down after three of five rounds
            return timing.measure(clock.work(seconds * slow), 4, clock=clock).mean

        return sample

    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for name, seconds in timing.alternate({"ours": sampler(1.0), "peer": sampler(2.0)}, 5):
        times[name].append(seconds)
    assert timing.paired_ratios(times["peer"], times["ours"]) == (2.0, 2.0, 2.0)


def test_ratio_is_of_the_medians_and_its_range_of_the_rounds() -> None:
    assert timing.paired_ratios([4.0, 6.0, 50.0], [2.0, 2.0, 5.0]) == (3.0, 2.0, 10.0)


# Shapes


def test_names_and_sizes_of_shapes_are_unique() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) == len({shape.size for shape in SHAPES})


def test_every_group_has_shapes_and_every_shape_known_groups() -> None:
    for name in GROUPS:
        assert select([name])
    assert {name for shape in SHAPES for name in shape.groups} <= set(GROUPS)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_is_found_by_name_and_by_size(shape: Shape) -> None:
    assert select([shape.name]) == select([shape.size]) == [shape]


def test_any_size_is_a_shape() -> None:
    (shape,) = select(["3x7x11x13-bi-ragged"])
    assert (shape.batch, shape.steps, shape.inputs, shape.hidden) == (3, 7, 11, 13)
    assert shape.directions == 2
    assert shape.ragged
    assert shape.size == "3x7x11x13-bi-ragged"


def test_shapes_are_chosen_once_each_and_in_order() -> None:
    assert [shape.name for shape in select(["audio-32", "audio-16", "1x100x32x32"])] == ["audio-32", "audio-16"]


def test_a_ragged_group_has_its_padded_twins() -> None:
    assert {shape.name for shape in select(["ragged"])} >= {"ragged-256", "tagging-256"}


def test_ragged_lengths_are_the_same_every_time_and_reach_t() -> None:
    shape = next(shape for shape in SHAPES if shape.ragged)
    again = Shape("again", shape.batch, shape.steps, 1, 1, ragged=True)
    assert shape.lengths is not None
    np.testing.assert_array_equal(shape.lengths, again.lengths)
    assert shape.lengths.min() >= 1
    assert shape.lengths.max() == shape.steps
    assert shape.useful_steps == shape.lengths.sum() < shape.batch * shape.steps


@pytest.mark.parametrize("name", ["nothing", "1x2x3", "0x1x1x1", "1x2x3x4-tri"])
def test_an_unknown_shape_says_what_there_is(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        select([name])


# Roofline


def test_work_of_a_forward_pass() -> None:
    work = roofline.work(Problem("lstm", Shape("", 2, 10, 3, 5), "forward", "float32"))
    assert work.operations == 2 * 4 * 5 * (3 + 5) * 20
    assert work.recurrent_bytes == 4 * 4 * 5 * 5 * 10
    assert work.input_bytes == 4 * 4 * 5 * 3
    assert work.footprint == 4 * 4 * 5 * 5


@pytest.mark.parametrize("cell", CELLS)
def test_training_is_three_products_and_two_reads(cell: str) -> None:
    forward, train = (roofline.work(Problem(cell, SMALL, mode, "float64")) for mode in ("forward", "train"))
    assert train.operations == 3 * forward.operations == 3 * 2 * fusedrnn._core.gates[cell] * 5 * (4 + 5) * 6
    assert train.bytes == 2 * forward.bytes
    assert train.footprint == forward.footprint


def test_work_of_two_directions_doubles_but_for_the_footprint() -> None:
    one, two = (
        roofline.work(Problem("gru", Shape("", 2, 10, 3, 5, directions=d), "forward", "float32")) for d in (1, 2)
    )
    assert two.operations == 2 * one.operations
    assert two.bytes == 2 * one.bytes
    assert two.footprint == one.footprint


def test_a_ragged_batch_counts_its_useful_steps() -> None:
    shape = Shape("", 8, 20, 3, 5, ragged=True)
    work = roofline.work(Problem("rnn", shape, "forward", "float32"))
    assert work.operations == 2 * 5 * (3 + 5) * shape.useful_steps
    assert work.recurrent_bytes == 4 * 5 * 5 * 20


def test_one_step_reads_all_weights_once() -> None:
    work = roofline.work(Problem("gru", SMALL, "step", "float32"))
    assert work.operations == 2 * 3 * 5 * (4 + 5) * 2
    assert work.footprint == work.bytes == 4 * 3 * 5 * (4 + 5)


def test_the_bound_is_the_slower_of_arithmetic_and_traffic() -> None:
    work = roofline.Work(
        input_operations=600, recurrent_operations=400, input_bytes=10, recurrent_bytes=200, footprint=20
    )
    arithmetic = roofline.bound(work, gflops=1e-9, gbytes_per_s=1e-6)
    assert (arithmetic.seconds, arithmetic.limit) == (1000, "arithmetic")
    assert arithmetic.phased_seconds == 1000
    traffic = roofline.bound(work, gflops=1e-6, gbytes_per_s=1e-9)
    assert (traffic.seconds, traffic.limit) == (210, "traffic")
    mixed = roofline.bound(work, gflops=1e-9, gbytes_per_s=0.25e-9)  # 600 + 400 operations, 40 + 800 for the bytes
    assert (mixed.seconds, mixed.phased_seconds) == (1000, 600 + 800)


# Checks before timing


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ["fusedrnn", "numpy", "torch", "onnxruntime", "openvino", "jax"])
@pytest.mark.filterwarnings("default")  # the peers' own
def test_every_installed_implementation_is_right(name: str, cell: str, mode: str) -> None:
    if name not in ("fusedrnn", "numpy") and not implementations.installed(name):
        pytest.skip(f"{name} is not installed")
    module = implementations.load(name)
    with fusedrnn.threads(fusedrnn.get_num_threads()):  # puts back what `start` sets
        module.start(1)
    for shape in (SMALL, Shape("", 3, 6, 4, 5, ragged=True), Shape("", 2, 3, 4, 5, directions=2)):
        if mode == "step" and shape is not SMALL:
            continue
        problem = Problem(cell, shape, mode, "float32")
        try:
            candidates = module.prepare(problem, 1)
        except UnavailableError:
            continue
        expected = problem.expected()
        for candidate in candidates.values():
            assert implementations.check(candidate, problem, expected) <= tolerance(problem)


def test_a_wrong_result_is_not_chosen() -> None:
    problem = Problem("lstm", SMALL, "forward", "float32")
    expected = problem.expected()
    spoiled = {name: value + 0.01 for name, value in expected.items()}
    right = Candidate(lambda: None, lambda _: expected)
    wrong = Candidate(lambda: None, lambda _: spoiled)
    assert implementations.choose({"wrong": wrong, "right": right}, problem, expected).variant == "right"
    with pytest.raises(WrongResultError, match=r"wrong: .*relative error"):
        implementations.choose({"wrong": wrong}, problem, expected)


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        ({}, "y"),
        ({"y": np.zeros(3), "z": np.zeros(3)}, "z"),
        ({"y": np.zeros((3, 1))}, "shape"),
        ({"y": np.array([1.0, np.nan, 0.0])}, "not finite"),
    ],
)
def test_a_result_of_another_form_is_infinitely_wrong(got: dict[str, Any], reason: str) -> None:
    error, where = discrepancy(got, {"y": np.ones(3)})
    assert error == float("inf")
    assert reason in where


def test_an_exchanged_gate_is_far_beyond_the_tolerance() -> None:
    problem = Problem("lstm", select(["language-512"])[0], "forward", "float32")
    assert tolerance(problem) < 1e-3
    small = Problem("gru", SMALL, "forward", "float32")
    swapped = Problem("gru", SMALL, "forward", "float32")
    for name, value in swapped.params.items():
        swapped.params[name] = np.roll(value, SMALL.hidden, axis=0)
    error, _ = discrepancy(swapped.expected(), small.expected())
    assert error > 100 * tolerance(small)


def test_unknown_implementations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'tensorflow'; there are torch, .*numpy"):
        implementations.load("tensorflow")


# Results and reports


def outcome(peer: Entry) -> Outcome:
    ours = Entry(times=[1.0, 2.0, 3.0], least_times=[1.0, 0.5, 1.5], calls=1, variant="layer", error=0.0)
    ceilings = [{"gflops": value, "gbytes_per_s": value} for value in (1e-6, 3e-6, 2e-6)]
    return Outcome(
        Problem("lstm", SMALL, "forward", "float32"),
        {("fusedrnn", 1): ours, ("numpy", 1): peer, ("fusedrnn", 2): Entry(times=[1.0] * 3, least_times=[0.4] * 3)},
        {1: ceilings},
    )


def test_rows() -> None:
    one, two = results.rows(outcome(Entry(times=[3.0, 4.0, 30.0], least_times=[2.0, 3.0, 2.5], calls=1)))
    assert one["results"]["fusedrnn"]["seconds"] == statistics.median([1.0, 2.0, 3.0])
    assert (one["best_peer"], one["ratio"], one["ratio_low"], one["ratio_high"]) == ("numpy", 2.0, 2.0, 10.0)
    assert one["scaling"] is None
    operations = 2 * 4 * 5 * 9 * 6
    assert one["gflops"] == pytest.approx(operations / 2 / 1e9)
    assert one["roofline"]["peak_gflops"] == 2e-6
    assert one["roofline"]["of_peak"] == pytest.approx(operations / 2 / 2000)
    assert one["roofline"]["of_bound"] == pytest.approx(one["roofline"]["of_peak"])
    assert one["results"]["fusedrnn"]["least"] == 0.5
    assert one["ratio_least"] == 4.0
    assert one["roofline"]["of_bound_least"] == pytest.approx(operations / 0.5 / 3000)
    assert one["roofline"]["of_phased_least"] == pytest.approx(one["roofline"]["of_bound_least"])
    assert (two["threads"], two["scaling"], two["best_peer"], two["ratio"]) == (2, 2.0, None, None)
    assert two["roofline"] is None
    assert (one["scaling_least"], two["scaling_least"], two["machine_scaling"]) == (None, 1.25, None)


@pytest.mark.parametrize(
    ("gflops", "gbytes", "limit", "want"), [(1.0, 1e6, "arithmetic", 1.5), (1e6, 1.0, "traffic", 1.2)]
)
def test_what_the_machine_gives_to_two_threads(gflops: float, gbytes: float, limit: str, want: float) -> None:
    measured = outcome(Entry(times=[3.0, 4.0, 30.0], calls=1))
    one = {"gflops": gflops, "gbytes_per_s": gbytes}
    measured.ceilings = {1: [one], 2: [{"gflops": 1.5 * gflops, "gbytes_per_s": 1.2 * gbytes}]}
    rows = results.rows(measured)
    assert [row["roofline"]["limit"] for row in rows] == [limit, limit]
    assert [row["machine_scaling"] for row in rows] == [None, pytest.approx(want)]


@pytest.mark.parametrize("status", ["wrong", "crashed", "unavailable"])
@pytest.mark.parametrize("markdown", [False, True])
def test_what_was_not_timed_is_reported(status: str, markdown: bool) -> None:
    plan = Plan([], ["numpy"])
    machine = {"cpu": "a CPU", "caches": {}, "cpus": 1, "system": "a system", "versions": {"fusedrnn": "1"}}
    machine |= {"commit": None, "isa": "scalar", "load_before": None, "date": "today", "command": "bench"}
    rows = results.rows(outcome(Entry(status, "for a reason")))
    text = report.render({"machine": machine, "settings": results.settings(plan), "rows": rows}, markdown)
    assert f"numpy: {status}: for a reason" in text
    assert ("WRONG" in text) == (status == "wrong")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (1.234e-9, "1.23 ns"),
        (9.996e-9, "10.0 ns"),
        (99.96e-9, "100 ns"),
        (999.4e-9, "999 ns"),
        (999.6e-9, "1.00 µs"),
        (0.0125, "12.5 ms"),
        (2.0, "2.00 s"),
    ],
)
def test_durations_have_three_digits(seconds: float | None, text: str) -> None:
    assert report.duration(seconds) == text


# The command line


def test_defaults() -> None:
    options = cli.parser().parse_args([])
    assert (options.cells, options.rounds, options.dtype) == (list(CELLS), 7, "float32")
    assert options.threads is options.against is options.shapes is options.modes is options.json is options.plot is None


def test_everything_can_be_given() -> None:
    arguments = "--against torch,numpy --cells gru --shapes audio-16,2x3x4x5 --forward --train --step --threads 1,2"
    arguments += " --dtype float64 --isa scalar --rounds 5 --milliseconds 20 --no-pin --json a --plot b --markdown"
    options = cli.parser().parse_args(arguments.split())
    assert options.against == ["torch", "numpy"]
    assert [shape.size for shape in options.shapes] == ["1x100x16x16", "2x3x4x5"]
    assert options.modes == ["forward", "train", "step"]
    assert options.threads == [1, 2]
    assert (options.milliseconds, options.pin, options.markdown) == (20.0, False, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--against tensorflow",
            "unknown implementation 'tensorflow'; there are torch, onnxruntime, openvino, jax, numpy",
        ),
        ("--cells lstm,mgu", "unknown cell 'mgu'; there are lstm, gru, rnn"),
        ("--shapes nothing", "unknown shape 'nothing'; a shape is BxTxIxH"),
        ("--shapes ,", "expected a name, a group"),
        ("--dtype float16", "invalid choice: 'float16'"),
        ("--isa sse9", "'sse9' is not available; there are "),
        ("--threads 1,0", "expected positive integers"),
        ("--rounds 0", "expected a positive integer, got '0'"),
        ("--milliseconds nan", "expected a positive number"),
        ("--step --shapes tagging-128-bi", "a stream has one"),
        ("--json /no/such/directory/results.json", "cannot write to /no/such/directory"),
        ("--shape audio-16", "unrecognized arguments"),
    ],
)
def test_mistakes_are_named(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_steps_that_only_differ_in_time_are_one() -> None:
    shapes = select(["long", "tagging-128-bi"])
    problems = cli.problems(shapes, ["lstm", "gru"], ["forward", "step"], "float32")
    assert len([problem for problem in problems if problem.mode == "forward"]) == 2 * len(shapes)
    assert [problem.cell for problem in problems if problem.mode == "step"] == ["lstm", "gru"]


def test_the_benchmark_is_not_imported_with_the_package() -> None:
    code = "import sys, fusedrnn; sys.exit(any(name.startswith('fusedrnn.bench') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# A run

ROW_KEYS = {
    "mode", "cell", "dtype", "threads", "shape", "results", "best_peer", "ratio", "ratio_low", "ratio_high",
    "ratio_least", "scaling", "scaling_least", "machine_scaling", "gflops", "roofline",
}  # fmt: skip
RESULT_KEYS = {"status", "seconds", "rounds", "least", "calls", "variant", "error", "detail"}
ROOFLINE_KEYS = {
    "peak_gflops", "gbytes_per_s", "footprint_bytes", "operations", "bytes", "bound_seconds", "phased_seconds", "limit",
    "of_bound", "of_phased", "of_peak", "of_bound_least", "of_phased_least",
}  # fmt: skip


def documented(key: str) -> bool:
    return results.__doc__ is not None and re.search(rf"\b{key}\b", results.__doc__) is not None


def test_a_small_run_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plotting = importlib.util.find_spec("matplotlib") is not None
    written, drawn = tmp_path / "results.json", tmp_path / "chart.png"
    arguments = "--against numpy --cells lstm,gru --shapes 2x3x4x5 --forward --train --step --rounds 2 --milliseconds 1"
    arguments += f" --json {written}" + (f" --plot {drawn}" if plotting else "")
    assert main(arguments.split()) == 0

    document = json.loads(written.read_text(encoding="utf-8"))
    assert set(document) == {"format", "machine", "settings", "rows"}
    assert document["format"] == results.FORMAT
    assert document["settings"]["rounds"] == 2
    machine = document["machine"]
    assert machine["command"] == "python -m fusedrnn bench " + arguments
    assert machine["isa"] == fusedrnn.isa()
    assert {"python", "numpy", "fusedrnn"} <= set(machine["versions"])
    assert {(row["mode"], row["cell"]) for row in document["rows"]} == {(m, c) for m in MODES for c in ("lstm", "gru")}
    assert len(document["rows"]) == 6
    for row in document["rows"]:
        assert set(row) == ROW_KEYS
        assert set(row["results"]) == {"fusedrnn", "numpy"}
        for result in row["results"].values():
            assert set(result) == RESULT_KEYS
            assert result["status"] == "timed"
            assert len(result["rounds"]) == 2
            assert result["seconds"] == statistics.median(result["rounds"]) > 0
        assert row["best_peer"] == "numpy"
        assert row["ratio_low"] <= row["ratio_high"]
        assert row["roofline"] is None or set(row["roofline"]) == ROOFLINE_KEYS
    assert all(map(documented, ROW_KEYS | RESULT_KEYS | ROOFLINE_KEYS))

    text = capsys.readouterr().out
    for part in (
        machine["cpu"],
        machine["command"],
        "2×3×4×5",
        "LSTM".lower(),
        *map(str, machine["versions"].values()),
    ):
        assert part in text
    if plotting:
        assert drawn.read_bytes().startswith(b"\x89PNG")


def test_a_peer_that_is_missing_is_reported_and_the_rest_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusedrnn.bench.session.installed", lambda name: name != "jax")
    problem = Problem("rnn", SMALL, "forward", "float32")
    advanced: list[int] = []
    with Session(Plan([problem], ["jax"], rounds=2, seconds=1e-3)) as session:
        session.advance = lambda what, steps: advanced.append(steps)
        (found,) = session.run()
        assert sum(advanced) == session.steps
    assert found.entries["jax", 1] == Entry("unavailable", "not installed")
    assert found.entries["fusedrnn", 1].status == "timed"
    assert len(found.entries["fusedrnn", 1].times) == 2


def test_a_worker_that_dies_is_reported() -> None:
    from fusedrnn.bench.worker import CrashedError, Worker

    worker = Worker("numpy", 1, None, None)
    try:
        worker._process.kill()
        worker._process.join()
        with pytest.raises(CrashedError, match="ended with exit code"):
            worker.ask("drop")
    finally:
        worker.close()
