"""Every piece of Python in the guide and the how-to pages runs as it stands, and prints what the page says."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
from pathlib import Path
from typing import Any

import pytest

import fusedrnn as fr

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for name in ("index.md", "guide/*.md", "howto/*.md") for path in (ROOT / "docs").glob(name))
BLOCK = re.compile(
    r"(?:<!-- needs (\w+) -->\n+)?```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
NEEDED = {"keras": ("keras", "torch", "h5py")}
"""What a package needs beside itself: Keras a backend, and h5py for its files."""
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


def blocks(page: Path) -> list[tuple[int, str | None, str, str | None]]:
    """(line, package it needs or None, code, what it prints or None) of each piece of code."""
    text = page.read_text(encoding="utf-8")
    found = [(text.count("\n", 0, m.start(2)), m[1], m[2], m[3]) for m in BLOCK.finditer(text)]
    assert len(found) == len(re.findall("^```python$", text, re.MULTILINE)), page
    assert sum(out is not None for *_, out in found) == text.count("\n```text\n"), f"{page}: text below no code"
    return found


def words(text: str) -> list[list[str]]:
    """Line by line, whatever the spaces between and after them."""
    return [line.split() for line in text.splitlines()]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on PyTorch, as it saves
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what it saves goes there
    with fr.threads(fr.get_num_threads()):  # layers of PyTorch take its number for all
        run_page(page)


def run_page(page: Path) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    names: dict[str, Any] = {"__name__": page.stem}
    for line, package, code, expected in blocks(page):
        if package and any(importlib.util.find_spec(needed) is None for needed in NEEDED.get(package, (package,))):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + code, str(page), "exec"), names)  # our own pages
        if expected is not None:
            got = printed.getvalue()
            assert words(got) == words(expected), f"{page}, line {line}:\n{got}"


def test_most_pages_have_code() -> None:
    assert len(WITH_CODE) >= 14


def test_only_these_may_be_missing() -> None:
    needed = {package for page in WITH_CODE for _, package, _, _ in blocks(page)}
    assert needed <= {None, "torch", "matplotlib", "keras", "onnxruntime"}
