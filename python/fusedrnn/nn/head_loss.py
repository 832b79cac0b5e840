"""A Linear and its cross-entropy in one pass, without an array of all logits."""

from __future__ import annotations

from functools import partial
from typing import Any

from numpy.typing import ArrayLike

from fusedrnn._checks import Array
from fusedrnn.nn import losses
from fusedrnn.nn._part import floats
from fusedrnn.nn.linear import Linear
from fusedrnn.nn.model import Loss


def fused_head(last: Any, loss: Loss) -> Linear | None:
    """The last part, where it is a Linear whose outputs go into `cross_entropy`."""
    known = loss.func if isinstance(loss, partial) and not loss.args else loss
    return last if type(last) is Linear and known is losses.cross_entropy else None


class HeadLoss:
    """The cross-entropy of a Linear's outputs."""

    def __init__(self, head: Linear, x: Array, targets: ArrayLike, loss: Loss, options: dict[str, Any]) -> None:
        bound = dict(loss.keywords) if isinstance(loss, partial) else {}
        x = floats("x", x, head.dtype, head.in_features)
        self._head, self._shape = head, x.shape
        self._rows = x.reshape(-1, head.in_features)
        self._targets = losses.ClassTargets(
            targets, x.shape[:-1], head.out_features, head.dtype, **{**bound, **options}
        )

    def value(self) -> float:
        """The loss."""
        found = self._cross_entropy(wants_gradients=False)
        return self._targets.mean(found[0])

    def value_and_gradients(self) -> tuple[float, Array, dict[str, Array]]:
        """The loss, and the gradients of x and of the Linear's parameters."""
        found, dx, dw, db = self._cross_entropy(wants_gradients=True)
        return self._targets.mean(found), dx.reshape(self._shape), self._head._named(dw, db)

    def _cross_entropy(self, wants_gradients: bool) -> Any:
        targets = self._targets
        return self._head._core.cross_entropy(
            *self._head._arrays, self._rows, targets.classes, targets.weights, wants_gradients
        )
