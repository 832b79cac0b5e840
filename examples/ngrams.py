"""n-gram models of a text, to measure a network against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.integer[Any]]


class WittenBell:
    """An interpolated n-gram model with Witten-Bell smoothing (Witten and Bell 1991). Nothing to tune.

    After a context seen c times with t different followers, a token seen n times there has the probability

        P(token | context) = (n + t·P(token | context without its first token)) / (c + t),

    and below the empty context every token is as likely as any other. So no token is ever impossible.

    Args:
        order: n; a unigram model is of order 1.
        tokens: (N,) integers in [0, num_tokens), the text to learn.
        num_tokens: how many different tokens there are.
    """

    def __init__(self, order: int, tokens: Tokens, num_tokens: int) -> None:
        if order < 1 or num_tokens < 1 or num_tokens**order >= 2**63:
            raise ValueError(f"order: {order} tokens of {num_tokens} kinds cannot be numbered in 63 bits")
        self.order = order
        self.num_tokens = num_tokens
        self._counts = [_Counts(self._windows(tokens, length), num_tokens) for length in range(1, order + 1)]

    def _windows(self, tokens: Tokens, length: int) -> NDArray[np.int64]:
        """Every run of `length` tokens as one number, its last token in the last place."""
        windows = max(len(tokens) - length + 1, 0)
        code = np.zeros(windows, np.int64)
        for place in range(length):
            code = code * self.num_tokens + tokens[place : place + windows]
        return code

    def log_probabilities(self, tokens: Tokens) -> NDArray[np.float64]:
        """ln P of every token but the first, each given those before it: (N - 1,)."""
        probability = np.full(len(tokens), 1.0 / self.num_tokens)
        for length, counts in enumerate(self._counts, start=1):
            # The first length - 1 tokens have no context this long, and keep what the shorter one gave them.
            if length <= len(tokens):
                counts.refine(probability[length - 1 :], self._windows(tokens, length))
        logarithms: NDArray[np.float64] = np.log(probability[1:])
        return logarithms


class _Counts:
    """How often each window, and each context (a window without its last token), was seen."""

    def __init__(self, windows: NDArray[np.int64], num_tokens: int) -> None:
        self._num_tokens = num_tokens
        self._windows, self._seen = np.unique(windows, return_counts=True)
        self._contexts, self._followers = np.unique(self._windows // num_tokens, return_counts=True)
        _, self._total = np.unique(windows // num_tokens, return_counts=True)  # the same contexts, in the same order

    def refine(self, probability: NDArray[np.float64], windows: NDArray[np.int64]) -> None:
        """Turn the probabilities under the shorter contexts, in place, into those under these."""
        seen = _look_up(self._windows, self._seen, windows)
        contexts = windows // self._num_tokens
        followers = _look_up(self._contexts, self._followers, contexts)
        total = _look_up(self._contexts, self._total, contexts)
        known = total > 0
        probability[known] = ((seen + followers * probability) / np.maximum(total + followers, 1))[known]


def _look_up(keys: NDArray[np.int64], values: NDArray[Any], wanted: NDArray[np.int64]) -> NDArray[Any]:
    """values[i] where keys[i] is wanted, 0 where no key is; keys are sorted."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
