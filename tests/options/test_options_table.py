"""The table of variants is made of the lists that layers are made of, and every row has a variant in the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fusedrnn._activations import ACTIVATIONS
from fusedrnn._options import OPTIONS, options_of
from kinds import LAYERS
from variants import VARIANTS

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "variants.md"


def region(name: str) -> str:
    found = re.search(rf"<!-- begin {name} -->\n(.*?)<!-- end {name} -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{PAGE}: no region {name}"
    return found[1]


def test_the_page_has_what_the_command_prints() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fusedrnn._support"], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == f"{region('options')}\n{region('activations')}"


@pytest.mark.parametrize("cell", LAYERS)
def test_every_option_of_every_cell_has_a_variant(cell: str) -> None:
    used = {name for variant, given in VARIANTS.items() if variant.startswith(cell) for name in given}
    refused = {"layer_norm"} if cell == "rnn" else set()
    assert set(options_of(cell)) - used == refused


def test_every_activation_has_a_variant() -> None:
    used = set()
    for given in VARIANTS.values():
        for name in ("activations", "reverse_activations"):
            used |= {one if isinstance(one, str) else one[0] for one in given.get(name, ())}
        for name in ("nonlinearity", "reverse_nonlinearity"):
            one = given.get(name, "tanh")
            used.add(one if isinstance(one, str) else one[0])
    assert used == set(ACTIVATIONS)


def test_every_row_names_an_equation_of_the_page_or_a_source() -> None:
    defined = (PAGE.parents[1] / "design" / "cells.md").read_text(encoding="utf-8")
    for option in OPTIONS:
        numbers = re.findall(r"\(([A-Z]\d+)\)", option.what)
        assert numbers or option.source, option.name
        for number in numbers:
            assert f"({number})" in defined, f"{option.name}: cells.md has no ({number})"
