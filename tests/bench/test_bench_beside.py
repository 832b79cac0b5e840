"""`python -m fusedrnn bench --beside`: its situations, what it refuses, what it reports, and that no process is left.

Nothing here asserts on how long anything took.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn
from fusedrnn.bench import cli, implementations, main
from fusedrnn.bench.beside import command, results, table
from fusedrnn.bench.beside.busy import Busy, GoneError, busy
from fusedrnn.bench.beside.measurement import MODES, Measured, Plan, measure, steps
from fusedrnn.bench.beside.server import Server
from fusedrnn.bench.beside.situations import SITUATIONS, Situation, expand
from fusedrnn.bench.beside.works import Times, Work
from fusedrnn.bench.remote import CrashedError, Remote
from fusedrnn.bench.shapes import Shape
from interpreter import python

SMALL = Shape("2x3x4x5", 2, 3, 4, 5)


def within(seconds: float, reached: Callable[[], bool]) -> bool:
    """Whether it is reached, which is looked at again and again."""
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.01)
    return reached()


# Situations and works


def test_names_expand_once_each_and_in_order() -> None:
    assert expand(["torch", "blas", "torch"]) == ["torch", "blas"]
    assert expand(["all"]) == expand(["all", "quiet"]) == list(SITUATIONS)


def test_every_situation_has_works_and_a_meaning() -> None:
    for situation in SITUATIONS.values():
        assert situation.works
        assert situation.meaning
        assert all(work.by_turns == (work.kind not in ("forward", "train")) for work in situation.works)
        assert situation.peer is None or situation.peer in implementations.PEERS


def test_only_an_oversubscribed_situation_sets_threads() -> None:
    for situation in SITUATIONS.values():
        if situation.oversubscribed:
            assert int(situation.environment()["FUSEDRNN_NUM_THREADS"]) % 2 == 0
        else:
            assert situation.environment() == {}


@pytest.mark.parametrize("kind", ["forward", "train", "product", "numpy"])
def test_a_turn_is_not_shorter_than_our_part_of_it(kind: str) -> None:
    work = Work(kind, SMALL, columns=7)
    ours, turn = work.turn()()
    assert 0 < ours <= turn
    assert work.by_turns or ours == turn
    assert work.counts == ("turn" if kind == "product" else "ours")


def test_a_stack_is_a_work() -> None:
    work = Work("forward", SMALL, layers=3)
    assert work.label == "forward, 3 layers"
    assert work.turn()().ours > 0


def test_a_block_has_a_turn_at_least_and_leaves_the_threads_as_they_were() -> None:
    server = Server()
    before = server.prepare(Work("forward", SMALL))
    for threads in MODES.values():
        assert server.block(threads, 1e-9, 0.3).shape == (1, len(Times._fields))
        assert server.block(threads, 1e-2, 0.3).shape[1] == len(Times._fields)
    assert fusedrnn.get_num_threads() == before


# Busy processes


def test_busy_processes_compute_inside_the_block_only() -> None:
    with busy(2, 60.0) as others:
        others.check()
        assert len(others.processes) == 2
    assert all(process.returncode is not None for process in others.processes)


def test_busy_processes_are_ended_by_an_exception() -> None:
    with pytest.raises(KeyboardInterrupt), busy(1, 60.0) as others:
        raise KeyboardInterrupt
    assert others.processes[0].returncode is not None


def test_a_busy_process_ends_by_itself_and_that_is_noticed() -> None:
    with busy(1, 0.0) as others:
        assert within(30.0, lambda: others.processes[0].poll() is not None)
        with pytest.raises(GoneError, match="before the measurement did"):
            others.check()


@pytest.mark.skipif(os.name != "posix", reason="asks the system whether a process is there")
def test_a_busy_process_does_not_outlive_its_parent() -> None:
    code = """
import os
from fusedrnn.bench.beside.busy import Busy
others = Busy()
others.start(600.0)
print(others.processes[0].pid, flush=True)
os._exit(0)
"""
    result = python("-c", code)
    pid = int(result.stdout)

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{pid}/stat")
        return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"  # nobody waits for it

    assert within(30.0, gone)


def test_a_busy_process_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusedrnn.bench.beside.busy._LOOP", "raise SystemExit")
    with pytest.raises(GoneError, match="did not start"), busy(1, 1.0):
        pass


# The command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--beside nonsense", "unknown situation 'nonsense'; there are quiet, blas, busy, busy2, onnxruntime, torch"),
        ("--beside ,", "expected names, of quiet"),
        ("--beside quiet --shapes audio-16", "not with --shapes"),
        ("--beside quiet --step", "not with --forward, --train and --step"),
        ("--beside quiet --no-pin", "not with --no-pin"),
        ("--beside quiet --rounds 0", "expected a positive integer, got '0'"),
        ("--beside quiet --json /no/such/directory/results.json", "cannot write to /no/such/directory"),
    ],
)
def test_mistakes_are_named(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_a_missing_peer_asked_for_by_name_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(implementations, "installed", lambda peer: peer != name)
    with pytest.raises(SystemExit) as stop:
        main(["--beside", f"quiet,{name}"])
    assert stop.value.code == 2
    assert f"--beside: {name}: not installed; pip install {name}" in capsys.readouterr().err


def test_the_help_has_every_situation() -> None:
    text = cli.parser().format_help()
    assert "--beside NAMES" in text
    for name, situation in SITUATIONS.items():
        assert re.search(rf"^  {name} +{re.escape(situation.meaning)}$", text, re.MULTILINE)


# A run

ROW_KEYS = {"situation", "work", "processes", "busy", "threads", "by_turns", "counts", "parts"}
WORK_KEYS = {"kind", "label", "size", "batch", "steps", "inputs", "hidden", "layers", "columns"}
PART_KEYS = {"default", "one", "ratio", "ratio_low", "ratio_high"}
FIGURES_KEYS = {"median", "p90", "calls", "blocks"}


def small(**changes: Any) -> Situation:
    return Situation("a test", (Work("train", SMALL), Work("product", SMALL, columns=3)), **changes)


@pytest.fixture
def small_situations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The situations that need no peer, with small works; and torch's, as if that were not installed."""
    for name, situation in list(SITUATIONS.items()):
        if situation.peer is not None:
            monkeypatch.delitem(SITUATIONS, name)
    for name in ("quiet", "blas", "oversubscribed"):
        monkeypatch.setitem(SITUATIONS, name, small(oversubscribed=name == "oversubscribed"))
    monkeypatch.setitem(SITUATIONS, "busy", small(busy=1))
    monkeypatch.setitem(SITUATIONS, "busy2", small(busy=2))
    monkeypatch.setitem(SITUATIONS, "twins", small(processes=2, oversubscribed=True))
    monkeypatch.setitem(SITUATIONS, "torch", small(peer="torch"))
    monkeypatch.setattr(implementations, "installed", lambda peer: peer != "torch")


def check_row(row: dict[str, Any], rounds: int) -> None:
    assert set(row) == ROW_KEYS
    assert set(row["work"]) == WORK_KEYS
    assert row["by_turns"] == (row["work"]["kind"] == "product")
    for part in row["parts"].values():
        assert set(part) == PART_KEYS
        assert part["ratio_low"] <= part["ratio_high"]
        assert part["ratio_low"] <= part["ratio"] <= part["ratio_high"]
        for mode in MODES:
            figures = part[mode]
            assert set(figures) == FIGURES_KEYS
            assert 0 < figures["median"] <= figures["p90"]
            assert len(figures["blocks"]) == rounds * row["processes"]
            assert figures["calls"] == sum(block["calls"] for block in figures["blocks"])


@pytest.mark.usefixtures("small_situations")
def test_a_small_run_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "results.json"
    arguments = f"--beside all --rounds 2 --milliseconds 1 --json {written}"
    assert main(arguments.split()) == 0

    document = json.loads(written.read_text(encoding="utf-8"))
    assert set(document) == {"format", "machine", "settings", "rows", "not_timed"}
    assert document["not_timed"] == {"torch": "not installed; pip install torch"}
    names = [name for name in SITUATIONS if name != "torch"]
    assert document["settings"]["situations"] == names
    assert document["machine"]["command"] == "python -m fusedrnn bench " + arguments
    assert [row["situation"] for row in document["rows"]] == [name for name in names for _ in range(2)]
    for row in document["rows"]:
        check_row(row, rounds=2)
    threads = {row["situation"]: row["threads"] for row in document["rows"]}
    environment = SITUATIONS["oversubscribed"].environment()
    assert threads["oversubscribed"] == threads["twins"] == int(environment["FUSEDRNN_NUM_THREADS"])
    documented = results.__doc__ or ""
    assert all(re.search(rf"\b{key}\b", documented) for key in ROW_KEYS | WORK_KEYS | PART_KEYS | FIGURES_KEYS)

    text = capsys.readouterr().out
    for part in (document["machine"]["cpu"], "2×3×4×5", "y @ w (5×3)", "torch: not installed", *names):
        assert part in text


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_beside_a_peer(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if not implementations.installed(name):
        pytest.skip(f"{name} is not installed")
    monkeypatch.setitem(SITUATIONS, name, Situation("a test", (Work(name, SMALL),), peer=name))
    assert main(["--beside", name, "--rounds", "1", "--milliseconds", "1", "--markdown"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"| {name} ")]
    assert [line.split(" | ")[4] for line in lines] == ["fusedrnn", "whole turn"]
    assert ["\\*" in line for line in lines] == [True, False]


def document_of(measured: Measured) -> dict[str, Any]:
    machine = {"cpu": "a CPU", "caches": {}, "cpus": 1, "system": "a system", "versions": {"fusedrnn": "1"}}
    machine |= {"commit": None, "isa": "scalar", "load_before": None, "date": "today", "command": "bench"}
    return {
        "machine": machine | {"allowed_cpus": [0]},
        "settings": results.settings(Plan(["quiet"], 2, 0.5)),
        "rows": [results.row(measured)],
        "not_timed": {"torch": "for a reason"},
    }


@pytest.mark.parametrize("markdown", [False, True])
def test_medians_are_of_all_calls_and_ratios_of_one_round_too(markdown: bool) -> None:
    default = [np.array([[2.0, 4.0], [2.0, 4.0], [2.0, 4.0]]), np.array([[6.0, 8.0]])]
    one = [np.array([[1.0, 8.0]]), np.array([[2.0, 8.0]])]
    document = document_of(Measured("blas", Work("product", SMALL), 4, {"default": default, "one": one}))
    ours, turn = (document["rows"][0]["parts"][name] for name in ("ours", "turn"))
    assert (ours["default"]["median"], ours["default"]["calls"], ours["one"]["median"]) == (2.0, 4, 1.5)
    assert (ours["ratio_low"], ours["ratio_high"]) == (2.0, 3.0)
    assert (turn["ratio"], turn["ratio_low"], turn["ratio_high"]) == (0.75, 0.5, 1.0)
    text = table.render(document, markdown)
    assert "torch: for a reason" in text
    assert ("0.75\\*" if markdown else "0.75*") in text
    assert "1.33*" not in text


@pytest.mark.usefixtures("small_situations")
def test_what_was_interrupted_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start, close = Busy.start, Remote.close
    closed: list[Remote] = []

    def recorded(self: Busy, seconds: float) -> None:
        start(self, seconds)
        started.extend(self.processes)

    def interrupt(self: Busy) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Busy, "start", recorded)
    monkeypatch.setattr(Busy, "check", interrupt)
    monkeypatch.setattr(Remote, "close", lambda self: (closed.append(self), close(self)))
    assert main(["--beside", "busy,quiet", "--rounds", "1", "--milliseconds", "1"]) == 130
    assert [process.returncode is not None for process in started] == [True]
    assert [remote._process.is_alive() for remote in closed] == [False]
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.usefixtures("small_situations")
@pytest.mark.parametrize("error", [CrashedError, GoneError])
def test_a_situation_that_fails_is_reported_and_the_next_is_timed(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(plan: Plan, name: str, advance: Callable[[str], object]) -> Any:
        if name == "busy":
            raise error("for a reason")
        yield from measure(plan, name, advance)

    monkeypatch.setattr(command, "measure", failing)
    assert main(["--beside", "busy,quiet", "--rounds", "1", "--milliseconds", "1"]) == 1
    text = capsys.readouterr().out
    assert "busy: for a reason" in text
    assert "quiet" in text


@pytest.mark.usefixtures("small_situations")
def test_progress_has_as_many_steps_as_blocks() -> None:
    plan = Plan(["quiet"], rounds=2, seconds=1e-3)
    seen: list[str] = []
    measured = list(measure(plan, "quiet", seen.append))
    assert len(seen) == steps(plan, "quiet")
    assert [len(each.blocks["one"]) for each in measured] == [2, 2]


def test_the_command_is_a_command() -> None:
    result = python("-m", "fusedrnn", "bench", "--beside", "nonsense")
    assert result.returncode == 2
    assert "unknown situation" in result.stderr
