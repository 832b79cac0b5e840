"""One direction of one layer through time, forward and backward: docs/design/cells.md, sections 6 and 8.

The cell knows one step; here is everything about *which* steps: order, ragged lengths, resets, truncation. A ragged
batch keeps its rectangle (T, B): at every step a mask says which rows take part, and the others carry their state
through unchanged, so a reversed row simply waits until its own last valid step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import Array
from .cells import Carry, Cell, Product, Saved, StepGradient, Weights

Mask: TypeAlias = npt.NDArray[np.bool_]


class Plan:
    """Which rows take part in which step: what ``lengths`` and ``reset`` mean, once for all layers and directions.

    ``active`` is (T, B, 1), as is what ``enters`` gives, or None where no row is ever left out. A row is *active* at
    the steps before its length (S1); its carried state *enters* a step when it is active there and no episode's border
    lies between the step and the one processed before (S2).
    """

    def __init__(self, steps: int, batch: int, lengths: npt.NDArray[np.int64] | None, reset: Mask | None) -> None:
        self.steps = steps
        self.batch = batch
        self.lengths = np.full(batch, steps, np.int64) if lengths is None else lengths
        ragged = bool((self.lengths < steps).any())
        self.active: Mask | None = (np.arange(steps)[:, None] < self.lengths)[:, :, None] if ragged else None
        self.reset: Mask | None = None  # (T, B, 1): where an episode begins; not in the padding
        if reset is not None:
            begins = reset[:, :, None]
            self.reset = begins if self.active is None else self.active & begins

    def order(self, reverse: bool) -> range:
        """Time steps in the order a direction processes them, (S3)."""
        if self.batch == 0:
            return range(0)  # nothing takes part in any of them
        return range(self.steps - 1, -1, -1) if reverse else range(self.steps)

    def enters(self, reverse: bool) -> Mask | None:
        """(T, B, 1): does the carried state enter this step? None: everywhere. (S2)"""
        if self.reset is None:
            return self.active
        cut = self.reset
        if reverse:  # the border before step t + 1 cuts what comes from there into t
            cut = np.concatenate((self.reset[1:], np.zeros_like(self.reset[:1])))
        return ~cut if self.active is None else self.active & ~cut

    def crosses(self, reverse: bool, truncate: int | None) -> Mask | None:
        """(T, B, 1): may a gradient cross from this step to the carry that entered it? None: everywhere. (T2), (T4)"""
        enters = self.enters(reverse)
        if truncate is None or self.batch == 0:
            return enters
        time = np.arange(self.steps)[:, None]
        done = self.lengths - 1 - time if reverse else time  # steps this row has processed before this one
        left = self.lengths - done  # steps still to process, this one included
        inside: Mask = ((left % truncate != 0) | (done == 0))[:, :, None]
        return inside if enters is None else inside & enters


@dataclass(frozen=True)
class SequenceGradient:
    """Gradients of one direction of one layer."""

    x: Array  # (T, B, I)
    carry: Carry  # at the initial state
    weights: dict[str, Array]


@dataclass(frozen=True)
class SequenceTape(Generic[Saved]):
    """What one direction of one layer keeps for its backward pass."""

    cell: Cell[Saved]
    weights: Weights
    plan: Plan
    reverse: bool
    x: Array  # (T, B, I), zero in the padding
    saved: list[Saved | None]  # by time step; every entry is set once forward has run

    def backward(self, dy: Array, dcarry: Carry, truncate: int | None) -> SequenceGradient:
        """Full or truncated backpropagation through time, section 8.

        ``dy`` (T, B, H_out) is the gradient at the outputs, ``dcarry`` that at the final state.
        """
        plan = self.plan
        crosses = plan.crosses(self.reverse, truncate)
        dpre_x = np.zeros((plan.steps, plan.batch, self.weights["weight_ih"].shape[0]), dy.dtype)
        products: list[tuple[Product, ...]] = []
        for t in reversed(plan.order(self.reverse)):
            saved = self.saved[t]
            assert saved is not None
            dleaving = (dcarry[0] + dy[t], *dcarry[1:])  # (T1)
            if plan.active is not None:
                dleaving = tuple(_where(plan.active[t], d) for d in dleaving)  # (T3)
            step: StepGradient = self.cell.backward(self.weights, saved, dleaving)
            dpre_x[t] = step.pre_x
            products.append(step.products)
            dentering = step.carry if crosses is None else tuple(_where(crosses[t], d) for d in step.carry)  # (T2)
            dcarry = _merge(plan, t, dentering, dcarry)  # (T3)
        dx = _flat(dpre_x) @ self.weights["weight_ih"]  # (W3)
        return SequenceGradient(
            x=_where(plan.active, dx.reshape(self.x.shape)),
            carry=dcarry,
            weights=self._weight_gradients(dpre_x, products),
        )

    def _weight_gradients(self, dpre_x: Array, products: list[tuple[Product, ...]]) -> dict[str, Array]:
        """Sum over time and batch: (W1) for every weight, (W2) for every bias."""
        grads = {name: np.zeros_like(value) for name, value in self.weights.items()}
        whole = [Product("weight_ih", slice(None), _flat(dpre_x), _flat(self.x))]
        for same in zip(*products, strict=True):  # the same product at every step
            delta = np.concatenate([p.delta for p in same])
            operand = np.concatenate([p.operand for p in same])
            whole.append(Product(same[0].weight, same[0].rows, delta, operand))
        for weight, rows, delta, operand in whole:
            grads[weight][rows] = delta.T @ operand  # (W1)
            bias = weight.replace("weight", "bias")
            if bias in grads:
                grads[bias][rows] = delta.sum(axis=0)  # (W2)
        return grads


def forward(
    cell: Cell[Saved], weights: Weights, x: Array, carry: Carry, plan: Plan, reverse: bool
) -> tuple[Carry, Carry, SequenceTape[Saved]]:
    """Run one direction of one layer.

    ``x`` (T, B, I), ``carry`` the initial state, each array (B, width). Returns the carry after every step
    (each (T, B, width), zero in the padding; the first one is the output), the final state, and the tape.
    """
    x = _where(plan.active, x)
    pre_x = _flat(x) @ weights["weight_ih"].T + weights["bias_ih"]
    pre_x = pre_x.reshape(plan.steps, plan.batch, weights["weight_ih"].shape[0])
    history = tuple(np.zeros((plan.steps, *part.shape), part.dtype) for part in carry)
    saved: list[Saved | None] = [None] * len(plan.order(reverse))
    tape = SequenceTape(cell, weights, plan, reverse, x, saved)
    enters = plan.enters(reverse)
    for t in plan.order(reverse):  # (S3)
        entering = carry if enters is None else tuple(_where(enters[t], part) for part in carry)  # (S2)
        leaving, saved[t] = cell.forward(weights, pre_x[t], entering)
        carry = _merge(plan, t, leaving, carry)  # (S1)
        for steps, part in zip(history, leaving, strict=True):
            steps[t] = part if plan.active is None else _where(plan.active[t], part)  # (S4)
    return history, carry, tape


def _where(mask: Mask | None, a: Array) -> Array:
    """``a`` where the mask holds and +0 elsewhere, whatever ``a`` holds there (a product would keep its NaN)."""
    return a if mask is None else np.where(mask, a, np.zeros((), a.dtype))


def _merge(plan: Plan, t: int, stepped: Carry, waiting: Carry) -> Carry:
    """The carry of the rows that took part in step ``t``, and of those that waited."""
    if plan.active is None:
        return stepped
    active = plan.active[t]
    return tuple(np.where(active, new, old) for new, old in zip(stepped, waiting, strict=True))


def _flat(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(T, B, width) as (T * B, width): all steps of all rows in one product."""
    return a.reshape(a.shape[0] * a.shape[1], a.shape[2])
