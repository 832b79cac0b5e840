"""Learning rates over time: functions of the number of steps made that give what the peak rate is multiplied by.

    rate = fr.optim.warmup(100, fr.optim.cosine(2000, final=0.02))
    optimiser.lr = 3e-3 * rate(optimiser.steps)
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fusedrnn import _checks

__all__ = ["Schedule", "constant", "cosine", "step_decay", "warmup"]

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """Always 1."""
    return lambda step: 1.0


def step_decay(every: int, factor: float = 0.1) -> Schedule:
    """Multiplied by `factor` every so many steps.

    Raises:
        ValueError: every < 1, or a negative factor.
    """
    period = _checks.integer("every", every, 1)
    ratio = _checks.not_negative("factor", factor)
    return lambda step: ratio ** (step // period)


def cosine(steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from 1 down to `final` in so many steps, and `final` from there on (Loshchilov and Hutter 2017).

    Raises:
        ValueError: steps < 1, or a negative final.
    """
    total = _checks.integer("steps", steps, 1)
    last = _checks.not_negative("final", final)
    return lambda step: last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * min(step / total, 1.0)))


def warmup(steps: int, then: Schedule | None = None) -> Schedule:
    """A straight line from near 0 up to 1 in so many steps, then another schedule from its beginning; None: 1 for good.

    Raises:
        ValueError: steps < 1.
        TypeError: `then` is not a function.
    """
    total = _checks.integer("steps", steps, 1)
    if then is not None and not callable(then):
        raise TypeError(f"then: expected a schedule, got {_checks.describe(then)}")
    after = then or constant()
    return lambda step: (step + 1) / (total + 1) if step < total else after(step - total)
