"""SGD, RMSprop, Adam and AdamW: the equations and defaults of torch.optim, in one pass over all parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn.optim._optimiser import Optimiser, below_one

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]


class SGD(Optimiser):
    """Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

    b ← momentum·b + (1 - dampening)·g, at the first step b ← g;  θ ← θ - lr·b, with Nesterov θ - lr·(g + momentum·b).

    Args:
        params: arrays by name, such as `model.params`. They are changed in place.
        lr: the learning rate.
        momentum, dampening: in the equation above.
        weight_decay: times θ, added to the gradient.
        nesterov: needs momentum and no dampening.

    Raises:
        ValueError: a number out of its range.
        TypeError: an argument of the wrong type.
    """

    _rule = "sgd"

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.momentum = _checks.not_negative("momentum", momentum)
        self.dampening = _checks.not_negative("dampening", dampening)
        self.weight_decay = _checks.not_negative("weight_decay", weight_decay)
        self.nesterov = _checks.boolean("nesterov", nesterov)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov: expected momentum above 0 and dampening 0")
        self._kept = ("first",) if self.momentum else ()
        super().__init__(params, lr)

    def _options(self, step: int) -> dict[str, Any]:
        return {
            "rate": self.lr,
            "decay": self.weight_decay,
            "momentum": self.momentum,
            "dampening": self.dampening,
            "nesterov": self.nesterov,
            "first_step": step == 1,
        }


class RMSprop(Optimiser):
    """RMSprop (Tieleman and Hinton 2012): v ← alpha·v + (1 - alpha)·g², d = g / (√v + eps), θ ← θ - lr·d;
    with momentum b ← momentum·b + d, θ ← θ - lr·b.

    Args:
        params: arrays by name, such as `model.params`. They are changed in place.
        lr: the learning rate.
        alpha, eps, momentum: in the equations above.
        weight_decay: times θ, added to the gradient.

    Raises:
        ValueError: a number out of its range.
        TypeError: an argument of the wrong type.
    """

    _rule = "rmsprop"

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        self.alpha = below_one("alpha", alpha)
        self.eps = _checks.not_negative("eps", eps)
        self.weight_decay = _checks.not_negative("weight_decay", weight_decay)
        self.momentum = _checks.not_negative("momentum", momentum)
        self._kept = ("first", "second") if self.momentum else ("second",)
        super().__init__(params, lr)

    def _options(self, step: int) -> dict[str, Any]:
        return {
            "rate": self.lr,
            "decay": self.weight_decay,
            "momentum": self.momentum,
            "second_momentum": self.alpha,
            "epsilon": self.eps,
        }


class Adam(Optimiser):
    """Adam (Kingma and Ba 2015): m ← β₁m + (1 - β₁)g, v ← β₂v + (1 - β₂)g²,
    θ ← θ - lr·(m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + eps).

    Args:
        params: arrays by name, such as `model.params`. They are changed in place.
        lr: the learning rate.
        betas: β₁ and β₂.
        eps: in the equation above.
        weight_decay: times θ, added to the gradient.

    Raises:
        ValueError: a number out of its range.
        TypeError: an argument of the wrong type.
    """

    _rule = "adam"
    _kept = ("first", "second")

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not isinstance(betas, tuple) or len(betas) != 2:
            raise TypeError(f"betas: expected a tuple of two numbers, got {_checks.shown(betas)}")
        self.betas = below_one("betas", betas[0]), below_one("betas", betas[1])
        self.eps = _checks.not_negative("eps", eps)
        self.weight_decay = _checks.not_negative("weight_decay", weight_decay)
        super().__init__(params, lr)

    def _options(self, step: int) -> dict[str, Any]:
        first, second = self.betas
        return {
            "rate": self.lr / (1.0 - first**step),
            "decay": self.weight_decay,
            "momentum": first,
            "second_momentum": second,
            "epsilon": self.eps,
            "second_scale": 1.0 / math.sqrt(1.0 - second**step),
        }


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): θ ← (1 - lr·weight_decay)·θ before Adam's update.

    Args:
        params, lr, betas, eps: as of `Adam`.
        weight_decay: in the equation above.
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def _options(self, step: int) -> dict[str, Any]:
        return {**super()._options(step), "decay": 0.0, "decoupled": 1.0 - self.lr * self.weight_decay}
