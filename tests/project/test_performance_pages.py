"""The pages of figures are what their data renders: README.md, docs/performance.md and docs/performance/."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs/performance.md", *sorted((ROOT / "docs/performance").glob("*.md"))]

sys.path.append(str(ROOT / "benchmarks"))
import pages  # noqa: E402
from performance import chart, documents, growth, records, regions, runs, stages, summaries  # noqa: E402

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def table_rows(lines: list[str]) -> list[list[str]]:
    """Cells below the heading and the rule."""
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


@page
def test_a_page_is_what_its_data_renders(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert regions.fill(text) == text, "run python benchmarks/pages.py"
    assert "<!-- begin" in text


def test_the_chart_was_drawn_from_the_data() -> None:
    assert chart.digest() in chart.PATH.read_text(encoding="utf-8"), "run python benchmarks/pages.py"
    assert "docs/performance/speed.svg" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(ratios for _, machines in chart.points() for ratios in machines.values())


@page
def test_no_measurement_is_typed(path: Path) -> None:
    typed = re.compile(r"\d ?(%|×(?!\d)|[µn]s\b|GFLOP|GB/s)|\d\.\d+ times")
    lines = regions.prose(path.read_text(encoding="utf-8")).split("\n")
    if path.name == "README.md":
        lines = lines[lines.index("## How fast") : lines.index("## What is not there yet")]
    assert [line for line in lines if typed.search(line)] == []


def test_pages_are_short() -> None:
    prose = regions.prose((ROOT / "docs/performance.md").read_text(encoding="utf-8")).split("\n")
    assert len([line for line in prose if line]) <= 150
    assert 1 <= len(table_rows(summaries.speed())) <= 6


@page
def test_no_heading_is_called_issue(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^#.*\bissue\b|--shapes issue", text, re.MULTILINE | re.IGNORECASE)


def test_the_command_finds_a_page_that_was_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(text.replace("| batches, inference | 0.", "| batches, inference | 1."))
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "pages", lambda: [tmp_path / "README.md"])
    assert pages.main(["--check"]) == 1
    assert capsys.readouterr().out == "README.md differs from its data\n"
    assert pages.main([]) == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text
    assert pages.main(["--check"]) == 0


@pytest.mark.parametrize("machine", documents.MACHINES)
def test_every_row_below_the_bar_is_shown_and_no_other(machine: str) -> None:
    printed = [
        row[table.columns.index("× best peer")]
        for name in documents.MACHINES[machine]
        for section in documents.read(name)
        for table in section.tables
        if "× best peer" in table.columns
        for row in table.rows
    ]
    ratios = [float(ratio.rstrip("×")) for ratio in printed if ratio != "–"]
    shown = [float(row[6].rstrip("×")) for row in table_rows(summaries.lost(machine))]
    assert shown == sorted(ratio for ratio in ratios if ratio < summaries.TIED)


@pytest.mark.parametrize("machine", documents.MACHINES)
@pytest.mark.parametrize("figure", ["ratio", "least"])
def test_a_range_reaches_the_least_of_all_rows_and_the_greatest_of_those_with_all_peers(
    machine: str, figure: str
) -> None:
    compared = records.comparisons(machine)
    for use in records.USES:
        rows = records.of_use(compared, use, "lstm")
        chosen = records.fair(rows, figure)
        assert rows
        assert min(chosen) == min(getattr(row, figure) for row in rows)
        assert max(chosen) == max(getattr(row, figure) for row in rows if row.complete)


def test_growth_is_the_time_of_a_rows_step() -> None:
    (row,) = [row for row in records.records("Zen 3, AVX2") if (row.run[:6], row.label) == ("Growth", "4×50×128×128")]
    (shown,) = [cells for cells in table_rows(growth.growth()) if cells[0] == row.label]
    assert float(shown[1]) == pytest.approx(1e6 * row.time / 200, abs=0.005)


@pytest.mark.parametrize(("text", "value"), [("23.0 µs", 23e-6), ("705 ns*", 705e-9), ("1.50 s", 1.5), ("2 ms", 2e-3)])
def test_a_printed_duration_is_read(text: str, value: float) -> None:
    assert records.seconds(text) == pytest.approx(value)


def run_of_bench() -> dict[str, Any]:
    """A document as `bench --json` writes it."""
    result = {
        "status": "timed",
        "seconds": 2e-6,
        "rounds": [2e-6, 3e-6],
        "least": 1e-6,
        "variant": "layer",
        "detail": "",
    }
    roofline = {"limit": "traffic", "of_bound": 0.5, "of_bound_least": 0.6, "of_phased": 0.7, "of_phased_least": 0.8}
    shape = {"name": "audio-16", "size": "1x100x16x16"}
    ratios = {"ratio": 1.5, "ratio_low": 1.2, "ratio_high": 1.8, "ratio_least": 1.4, "gflops": 7.0}
    scaling = dict.fromkeys(("scaling", "scaling_least", "machine_scaling"))
    row = {"mode": "forward", "cell": "lstm", "dtype": "float32", "threads": 1, "shape": shape, "best_peer": "torch"}
    row |= {
        "results": {"fusedrnn": result, "torch": result | {"seconds": 3e-6}},
        "roofline": roofline,
        **ratios,
        **scaling,
    }
    machine = {
        "cpu": "a processor",
        "caches": {},
        "cpus": 2,
        "system": "Linux",
        "versions": {},
        "commit": None,
        "date": "",
    }
    machine |= {"isa": "avx2", "load_before": 0.1, "command": "fusedrnn bench --json /tmp/run.json"}
    settings = {"rounds": 2, "seconds_per_round": 0.01, "pinned_to": {"1": [1]}}
    return {"format": 1, "machine": machine, "settings": settings, "rows": [row]}


def test_a_run_of_the_benchmark_is_added_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source.json").write_text(json.dumps(run_of_bench()), encoding="utf-8")
    monkeypatch.setattr(documents, "DATA", tmp_path)
    assert pages.main(["--add", str(tmp_path / "source.json"), "new"]) == 0
    kept = documents.load("new")
    assert kept["settings"]["rounds"] == 2
    assert "rounds" not in kept["rows"][0]["results"]["torch"]
    assert kept["machine"]["command"] == "fusedrnn bench --json run.json"
    shown = regions.fill("before\n<!-- begin run new -->\n<!-- end -->\nafter\n")
    assert shown.startswith("before\n<!-- begin run new -->\n\n## new\n")
    assert shown.endswith("\n<!-- end -->\nafter\n")
    (row,) = table_rows(runs.run("new"))
    assert row[:9] == [
        *("lstm", "audio-16", "1×100×16×16", "2.00 µs", "3.00 µs\\*", "1.50×", "1.20–1.80", "1.40×", "7"),
    ]
    monkeypatch.setitem(documents.MACHINES, "new", ("new",))
    (record,) = records.records("new")
    assert (record.ratio, record.peer, record.hidden, record.complete) == (1.5, "torch", 16, False)


def test_a_run_of_a_job_is_added_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ratios are those of rounds: medians, and the least and the greatest."""
    rounds = {
        "fusedrnn": [{"speed": speed, "recurrent": share} for speed, share in ((30.0, 0.8), (60.0, 0.7), (20.0, 0.9))],
        "torch": [{"speed": 20.0, "recurrent": 0.5} for _ in range(3)],
    }
    rows = [{"cell": "gru", "threads": "1", "rounds": each} for each in (rounds, {"fusedrnn": rounds["fusedrnn"]})]
    run = {"format": "fusedrnn bench job 1", "machine": run_of_bench()["machine"], "rows": rows}
    (tmp_path / "job.json").write_text(json.dumps(run), encoding="utf-8")
    monkeypatch.setattr(documents, "DATA", tmp_path)
    assert pages.main(["--add", str(tmp_path / "job.json"), "new"]) == 0
    assert documents.load("new")["rows"] == rows
    shown = regions.fill("<!-- begin job new -->\n<!-- end -->\n").split("\n")
    assert any(line.startswith("* load before: ") for line in shown)
    assert table_rows(shown) == [["gru", "1", "1.50", "1.00–3.00", "80%"], ["gru", "1", "-", "-", "80%"]]


def test_models_before_and_after_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of the rounds' ratios; what the heads of two files have in common is said once."""
    row = {"model": "a", "what": "b", "threads": 1, "apart": 3e-8, "largest": 0.5, "ratios": [2.0, 1.0, 1.6]}
    machine = run_of_bench()["machine"]
    monkeypatch.setattr(documents, "DATA", tmp_path)
    for name in ("one", "two"):
        run = {"format": "fusedrnn accelerated 1", "machine": machine | {"command": name}, "rows": [row]}
        (tmp_path / "source.json").write_text(json.dumps(run), encoding="utf-8")
        assert pages.main(["--add", str(tmp_path / "source.json"), name]) == 0
    shown = regions.fill("<!-- begin accelerated one two -->\n<!-- end -->\n").split("\n")
    assert [line for line in shown if line.startswith(("* CPU", "* command"))] == [
        *("* CPU: a processor; 2 CPUs", "* command: `one`", "* command: `two`"),
    ]
    assert table_rows(shown) == [["a", "b", "1", "1.60×", "3: 1.00–2.00", "3.0e-08", "0.5"]] * 2
    shown = regions.fill("<!-- begin pools one -->\n<!-- end -->\n").split("\n")
    assert table_rows(shown) == [["a", "1", "-37.5 %", "-50 to 0 %"]]


def test_layers_with_options(data: Path) -> None:
    row = {"cell": "lstm", "option": "peephole=True", "call": [0.9, 0.8, 1.0], "training": [1.5]}
    head = {"machine": run_of_bench()["machine"], "shape": "1x2x3x4", "threads": 1}
    (data / "options.json").write_text(json.dumps(head | {"rows": [row]}), encoding="utf-8")
    shown = regions.fill("<!-- begin variants options -->\n<!-- end -->\n").split("\n")
    assert table_rows(shown) == [["LSTM", "`peephole=True`", "0.90", "1.50"]]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the data."""
    monkeypatch.setattr(documents, "DATA", tmp_path)
    return tmp_path


def test_a_machine_with_one_run_is_summed_up(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "source.json").write_text(json.dumps(run_of_bench()), encoding="utf-8")
    pages.main(["--add", str(data / "source.json"), "new", "--head", "heading=Growth with T"])
    monkeypatch.setattr("performance.documents.MACHINES", {})
    for name in ("records", "summaries", "growth", "stages", "chart"):
        monkeypatch.setattr(f"performance.{name}.MACHINES", {"new": ("new",)})
    for kind, render in regions.KINDS.items():
        if kind not in ("job", "accelerated", "pools", "variants"):  # files of forms of their own
            assert render(*{"run": ["new"], "lost": ["new"]}.get(kind, []))
    assert table_rows(growth.growth()) == [["1×100×16×16", "0.02", "7"]]
    assert ["one sequence, H below 64", "1.50×", "–"] in table_rows(summaries.speed())


LISTING = """float32
lstm  8 x  64  a step     6.52 us   77.5 % of the peak  without activations  87.8 %  without products   1.43 us
lstm  1 x  16  a step of the recurrence  63 ns  without products  41 ns  the product's chain  20 ns, at the peak  20 ns
float64
lstm  8 x 128  a step    53.04 us   76.2 % of the peak  without activations  87.3 %  without products   8.65 us
"""


def test_a_list_of_stages_is_added(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "stages.txt").write_text(LISTING, encoding="utf-8")
    assert pages.main(["--add", str(data / "stages.txt"), "new", "--head", "commit=abc"]) == 0
    (section,) = documents.read("new")
    assert (section.heading, section.head) == ("Stages of a step", {"commit": "abc"})
    assert [table.rows for table in section.tables] == [
        [["lstm", "8", "64", "6.52", "77.5", "87.8", "1.43"]],
        [["lstm", "1", "16", "63", "41", "20", "20"]],
        [["lstm", "8", "128", "53.04", "76.2", "87.3", "8.65"]],
    ]
    monkeypatch.setattr("performance.stages.MACHINES", {"new": ("new",)})
    shares = [row for row in table_rows(stages.stages()) if row[0] == "Stages of a step: % of the peak"]
    assert [row[1:] for row in shares] == [["float32", "78 %", "–"], ["float64", "–", "76 %"]]


def test_another_text_is_refused(data: Path) -> None:
    (data / "other.txt").write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="neither JSON"):
        pages.main(["--add", str(data / "other.txt"), "new"])


def test_the_command_runs_by_itself() -> None:
    command = [sys.executable, str(ROOT / "benchmarks/pages.py"), "--check"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
