"""Fixtures: an instruction set that is proved to be the one in use, settings put back, hypothesis made repeatable."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

import fusedrnn as fr

# No deadline: a shared machine may pause for longer than any example takes. No example database: a failure prints a
# blob to repeat it with, and nothing is left in the tree.
_COMMON = {"deadline": None, "database": None, "print_blob": True}
hypothesis.settings.register_profile("ci", max_examples=100, derandomize=True, **_COMMON)  # type: ignore[arg-type]
hypothesis.settings.register_profile("dev", max_examples=100, **_COMMON)  # type: ignore[arg-type]
hypothesis.settings.register_profile("search", max_examples=2000, **_COMMON)  # type: ignore[arg-type]
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    # When an example fails, hypothesis words a patch through libcst, if that is there; its import warns, and a warning
    # at that point is the end of pytest.
    config.addinivalue_line("filterwarnings", "ignore:mypy_extensions.TypedDict is deprecated:DeprecationWarning")


@pytest.fixture(autouse=True)
def _settings_put_back() -> Iterator[None]:
    """No test leaves another instruction set or thread count to the next."""
    isa, threads = fr.isa(), fr.get_num_threads()
    yield
    left = fr.isa(), fr.get_num_threads()
    fr.use_isa(isa)
    fr.set_num_threads(threads)
    assert left == (isa, threads), "the test changed the process's settings"


@pytest.fixture(params=fr.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of this machine in turn, forced, and still the one in use at the end."""
    before = fr.isa()
    fr.use_isa(request.param)
    try:
        assert fr.isa() == request.param
        assert fr.build_info()["isa"] == request.param
        yield request.param
        assert fr.isa() == request.param
    finally:
        fr.use_isa(before)
