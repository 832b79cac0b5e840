"""Fixtures: threads put back, which the layers take from PyTorch for all of fusedrnn; no call that falls back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fusedrnn as fr


@pytest.fixture(autouse=True)
def _threads_put_back() -> Iterator[None]:
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
