"""The commands of `python -m fusedrnn` print what they should, and refuse what they should."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import fusedrnn as fr
from interpreter import python

ROOT = Path(__file__).parents[2]


def test_info_command() -> None:
    result = python("-m", "fusedrnn", "info")
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["numpy"] == np.__version__
    assert fr.__version__ in lines["fusedrnn"]
    assert all(name in result.stdout for name in fr.available_isas())


def test_without_a_command_it_lists_what_there_is() -> None:
    result = python("-m", "fusedrnn")
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert all(f"python -m fusedrnn {command}" in result.stdout for command in ("info", "bench"))
    folders = re.findall(r"^  (\S+/|README.md) ", result.stdout, re.MULTILINE)
    assert folders == ["README.md", "docs/", "examples/"]
    assert all((ROOT / folder).exists() for folder in folders)


@pytest.mark.parametrize("arguments", [("nonsense",), ("--nonsense",), ("info", "--nonsense"), ("info", "extra")])
def test_command_line_errors(arguments: tuple[str, ...]) -> None:
    result = python("-m", "fusedrnn", *arguments)
    assert result.returncode == 2
    assert "usage: python -m fusedrnn" in result.stderr


def test_bench_gets_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    from fusedrnn import bench
    from fusedrnn.__main__ import main

    seen: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        seen.append(arguments)
        return 3

    monkeypatch.setattr(bench, "main", run)
    assert main(["bench", "--help", "lstm", "--repeat", "3"]) == 3
    assert seen == [["--help", "lstm", "--repeat", "3"]]
