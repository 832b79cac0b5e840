"""Marked regions of a page: what stands between the marks is rendered from the data.

    <!-- begin lost Zen 3, AVX2 -->
    …
    <!-- end -->

The first word is what to render, the rest its argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from performance import accelerated, growth, jobs, runs, stages, summaries, variants

__all__ = ["KINDS", "fill", "prose"]

KINDS: dict[str, Callable[..., list[str]]] = {
    "run": runs.run,
    "job": jobs.job,
    "accelerated": accelerated.accelerated,
    "pools": accelerated.pools,
    "variants": variants.variants,
    "speed": summaries.speed,
    "sentence": summaries.sentence,
    "ranges": summaries.ranges,
    "lost": summaries.lost,
    "two-threads": summaries.two_threads,
    "ceilings": summaries.ceilings,
    "stages": stages.stages,
    "growth": growth.growth,
    "ragged": growth.ragged,
    "off-block": growth.off_block,
}

_REGION = re.compile(r"^<!-- begin ([\w-]+)(?: ([^\n]+?))? -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)


def fill(page: str) -> str:
    """The page with every region rendered anew."""
    return _REGION.sub(_render, page)


def prose(page: str) -> str:
    """The page without its regions."""
    return _REGION.sub("", page)


def _render(region: re.Match[str]) -> str:
    kind, argument = region.groups()
    lines = KINDS[kind](*([argument] if argument else []))
    mark = region[0].partition("\n")[0]
    return "\n".join([mark, "", *lines, "", "<!-- end -->"])
