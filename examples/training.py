"""What stands around a recurrent network in training, in NumPy: input, output, loss, optimiser, schedule.

Every layer here keeps its arrays in `params`, is called to go forward, and goes backward from what it was called with:
`layer.backward(x, dy)`. Nothing is remembered between the two, so there is nothing to reset or to free. Tokens are
integers of any shape; what a layer makes of them has one axis more. No function loops over time or over a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Tokens = NDArray[np.integer[Any]]


def one_hot(tokens: Tokens, size: int, dtype: DTypeLike = np.float32) -> Array:
    """(…) integers as (…, size): zeros, and a one at each token's place."""
    result = np.zeros((tokens.size, size), dtype)
    result[np.arange(tokens.size), tokens.reshape(-1)] = 1
    return result.reshape(*tokens.shape, size)


class OneHot:
    """Tokens as unit vectors: an input layer with nothing to learn."""

    def __init__(self, num_tokens: int, dtype: DTypeLike = np.float32) -> None:
        self.output_size = num_tokens
        self.dtype = np.dtype(dtype)
        self.params: dict[str, Array] = {}

    def __call__(self, tokens: Tokens) -> Array:
        """(…) integers as (…, tokens)."""
        return one_hot(tokens, self.output_size, self.dtype)

    def backward(self, tokens: Tokens, dy: Array) -> dict[str, Array]:
        """No parameters, no gradients."""
        return {}


class Embedding:
    """A learned vector for every token: `weight` (tokens, size), drawn from N(0, 1) as torch.nn.Embedding does."""

    def __init__(self, num_tokens: int, size: int, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> None:
        self.output_size = size
        self.params: dict[str, Array] = {"weight": rng.standard_normal((num_tokens, size)).astype(dtype)}

    def __call__(self, tokens: Tokens) -> Array:
        """(…) integers as (…, size)."""
        return self.params["weight"][tokens]

    def backward(self, tokens: Tokens, dy: Array) -> dict[str, Array]:
        """The gradient of `weight`, given that of the output.

        Rows that belong to one token are summed by a product with the one-hot matrix: for an alphabet's worth of
        tokens many times faster than `np.add.at`.
        """
        weight = self.params["weight"]
        chosen = one_hot(tokens.reshape(-1), len(weight), dy.dtype)
        return {"weight": chosen.T @ dy.reshape(-1, self.output_size)}


class Linear:
    """y = x·weightᵀ + bias over the last axis; `weight` (outputs, inputs), `bias` (outputs,), as torch.nn.Linear."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> None:
        bound = 1.0 / math.sqrt(inputs)
        self.params: dict[str, Array] = {
            "weight": rng.uniform(-bound, bound, (outputs, inputs)).astype(dtype),
            "bias": rng.uniform(-bound, bound, outputs).astype(dtype),
        }

    def __call__(self, x: Array) -> Array:
        """(…, inputs) as (…, outputs)."""
        weight = self.params["weight"]
        y: Array = x.reshape(-1, x.shape[-1]) @ weight.T  # one product: x @ weight.T would be one for every step
        y += self.params["bias"]
        return y.reshape(*x.shape[:-1], len(weight))

    def backward(self, x: Array, dy: Array) -> tuple[Array, dict[str, Array]]:
        """The gradients of x and of the parameters, given that of the output."""
        weight = self.params["weight"]
        rows = dy.reshape(-1, len(weight))
        dx = rows @ weight
        grads = {"weight": rows.T @ x.reshape(-1, x.shape[-1]), "bias": rows.sum(axis=0)}
        return dx.reshape(x.shape), grads


def dropout_mask(shape: tuple[int, ...], probability: float, rng: np.random.Generator) -> Array:
    """Inverted dropout (Srivastava et al. 2014): multiply by it going forward, and the gradient going back."""
    mask: Array = (rng.random(shape, dtype=np.float32) >= probability).astype(np.float32)
    mask /= 1.0 - probability
    return mask


def log_probabilities(logits: Array, targets: Tokens) -> NDArray[np.float64]:
    """ln P(target) under softmax(logits): logits (…, classes), targets (…) -> (…), in float64."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, targets[..., np.newaxis], axis=-1)[..., 0]
    np.exp(shifted, out=shifted)
    result: NDArray[np.float64] = chosen - np.log(shifted.sum(axis=-1, dtype=np.float64))
    return result


def softmax_cross_entropy(logits: Array, targets: Tokens) -> tuple[float, Array]:
    """The mean of -ln P(target) over all targets, and its gradient with respect to the logits.

    Args:
        logits: (…, classes), contiguous. Overwritten: the gradient is written into it.
        targets: (…), the right class of each.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    picked = np.arange(len(rows)), targets.reshape(-1)
    rows -= rows.max(axis=1, keepdims=True)
    chosen = rows[picked]
    np.exp(rows, out=rows)
    total = rows.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - chosen, dtype=np.float64))
    rows *= (1.0 / len(rows)) / total
    rows[picked] -= 1.0 / len(rows)
    return loss, logits


def perplexity(nats: float) -> float:
    """exp of a mean of -ln P: as uncertain as a choice between so many equally likely tokens."""
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def clip_gradients(gradients: Iterable[Array], max_norm: float) -> float:
    """Scale all gradients, in place, so that their joint norm is at most `max_norm` (Pascanu et al. 2013).

    Returns the norm they had.
    """
    arrays = list(gradients)
    norm = math.sqrt(sum(float(np.vdot(array, array)) for array in arrays))
    if norm > max_norm:
        for array in arrays:
            array *= max_norm / norm
    return norm


class Adam:
    """Adam (Kingma and Ba 2015). Changes the parameters it was given in place.

    Args:
        params: arrays by name.
        betas: decay of the running means of the gradient and of its square.
        epsilon: added to the root of the mean square.
    """

    BLOCK = 1 << 15
    """Elements updated at a time: the dozen passes over them then stay in the cache."""

    def __init__(
        self, params: Mapping[str, Array], betas: tuple[float, float] = (0.9, 0.99), epsilon: float = 1e-8
    ) -> None:
        self.params = dict(params)
        self.betas = betas
        self.epsilon = epsilon
        self.steps = 0
        self._mean = {name: np.zeros(array.size, array.dtype) for name, array in self.params.items()}
        self._square = {name: np.zeros(array.size, array.dtype) for name, array in self.params.items()}

    def step(self, gradients: Mapping[str, Array], learning_rate: float) -> None:
        """One update. `gradients` has the names of the parameters."""
        self.steps += 1
        for name, param in self.params.items():
            gradient = np.ascontiguousarray(gradients[name])
            if not param.flags.c_contiguous:
                raise ValueError(f"{name}: only contiguous parameters can be updated in place")
            flat = param.reshape(-1), gradient.reshape(-1), self._mean[name], self._square[name]
            for begin in range(0, param.size, self.BLOCK):
                self._update(learning_rate, *(array[begin : begin + self.BLOCK] for array in flat))

    def _update(self, learning_rate: float, param: Array, gradient: Array, mean: Array, square: Array) -> None:
        """Both biases of starting from zero are corrected in the two scalars, not in the arrays."""
        beta1, beta2 = self.betas
        correction = math.sqrt(1.0 - beta2**self.steps)
        work = gradient - mean
        work *= 1.0 - beta1
        mean += work
        np.multiply(gradient, gradient, out=work)
        work -= square
        work *= 1.0 - beta2
        square += work
        np.sqrt(square, out=work)
        work += self.epsilon * correction
        np.divide(mean, work, out=work)
        work *= learning_rate * correction / (1.0 - beta1**self.steps)
        param -= work


def warmup_cosine(progress: float, warmup: float = 0.02, final: float = 0.02) -> float:
    """What the peak learning rate is multiplied by at `progress` in [0, 1] through the training.

    A straight line up to 1 over the first `warmup`, then half a cosine down to `final` (Loshchilov and Hutter 2017).
    """
    if progress < warmup:
        return max(progress / warmup, 0.05)
    through = min((progress - warmup) / (1.0 - warmup), 1.0)
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * through))
