"""Docstrings: what several functions say of `lengths` and `reset` is written here once and filled into each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

PLACE = "{lengths and reset}"
LENGTHS_AND_RESET = """\
lengths: B integers in [0, T], in any order: row b ends after lengths[b] steps, and a reverse direction
    begins there. y beyond a row's end is zero, and its final state is that after its last step.
    Not with an unbatched x.
reset: bool, (T, B), (B, T) with batch_first, unbatched (T,): true at the first step of each episode.
    There the carried state is zeroed; a reverse direction's is zeroed where it leaves that step for the
    one before. So episodes packed end to end give what they give alone, in both directions. A row begins
    with its initial state unless its first step is marked; its reverse direction always does."""


def with_shared_text(function: F) -> F:
    """A decorator: the line `{lengths and reset}` of the docstring becomes those paragraphs, as deep as it is."""
    if function.__doc__ is not None:  # python -OO has none
        before, _, after = function.__doc__.partition(PLACE)
        indent = before.rpartition("\n")[2]
        function.__doc__ = before + LENGTHS_AND_RESET.replace("\n", "\n" + indent) + after
    return function
