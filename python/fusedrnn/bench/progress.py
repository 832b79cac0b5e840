"""A progress bar: tqdm's if it is installed, otherwise a line that is rewritten; nothing if nobody watches."""

from __future__ import annotations

import importlib
import sys
from types import TracebackType
from typing import Any

__all__ = ["Progress"]


class Progress:
    """`with Progress(total) as bar: bar.advance("what is next")`, on stderr."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._bar: Any = None
        self._watched = sys.stderr.isatty()
        if self._watched:
            try:
                tqdm = importlib.import_module("tqdm").tqdm
            except ImportError:
                return
            self._bar = tqdm(total=total, unit="sample", dynamic_ncols=True, leave=False)

    def __enter__(self) -> Progress:
        return self

    def advance(self, what: str, steps: int = 1) -> None:
        """So many steps more; `what` is what happens now."""
        self._done += steps
        if self._bar is not None:
            self._bar.set_description(what, refresh=False)
            self._bar.update(steps)
        elif self._watched:
            print(f"\r{self._done}/{self._total} {what:<70.70}", end="", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._watched:
            print("\r" + " " * 90 + "\r", end="", file=sys.stderr, flush=True)
