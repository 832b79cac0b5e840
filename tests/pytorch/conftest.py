"""Fixtures: every test begins with the same settings and puts threads back; no call that falls back."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import fusedrnn as fr

if importlib.util.find_spec("torch") is None and not os.environ.get("CI"):
    # Their imports need it. The one that is left is skipped, and says why.
    collect_ignore = [str(path) for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_readme.py"]


@pytest.fixture(autouse=True)
def _threads_put_back() -> Iterator[None]:
    """The layers take PyTorch's number of threads for all of fusedrnn."""
    from fusedrnn.torch import warn_of_fallback

    warn_of_fallback(False)  # a page of the docs may have asked for it
    before = fr.get_num_threads()
    yield
    fr.set_num_threads(before)


@pytest.fixture
def no_fallback() -> Iterator[None]:
    """A call that runs on PyTorch's own code is an error: its warning is, as all warnings are."""
    from fusedrnn.torch import warn_of_fallback

    warn_of_fallback()
    yield
    warn_of_fallback(False)
