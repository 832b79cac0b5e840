"""Integers as the input of a layer: rows of an embedding, or unit vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusedrnn import _checks, _core
from fusedrnn._checks import Array


def require_below(tokens: Array, count: int) -> None:
    """ValueError unless every token is from 0 to count - 1."""
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < count:
        wrong = tokens[(tokens < 0) | (tokens >= count)][0]
        raise ValueError(f"x: expected tokens from 0 to {count - 1}, got {wrong}")


class Tokens:
    """Checked tokens of one call, and the embedding that they are rows of.

    The core multiplies W_ih with every token's vector once and takes the result for each step (it *folds* the
    embedding into W_ih); or the vectors are made, as they would be without it. Forward both give the same bits.
    """

    def __init__(self, x: Array, embedding: object, input_size: int, dtype: np.dtype[Any]) -> None:
        if x.dtype.kind not in "iu":
            raise TypeError(f"x: expected integers with embedding, got dtype {x.dtype}")
        if x.ndim == 3 and embedding is None:
            raise TypeError(
                f'x: expected dtype {dtype}, or tokens of shape (T, B) or (B, T), got {x.dtype} of shape {x.shape}; '
                f'.astype("{dtype}") converts it'
            )
        if x.ndim not in (1, 2):
            raise ValueError(f"x: expected tokens of shape (T, B), (B, T) or, unbatched, (T,), got {x.shape}")
        self.tokens = np.asarray(x, np.int64)
        self.embedding: Array | None = None
        self.count, self._dtype = input_size, dtype
        if embedding is not None:
            table = _checks.array("embedding", embedding)
            if table.ndim != 2 or table.shape[1] != input_size or not len(table):
                raise ValueError(f"embedding: expected shape (V, {input_size}), got {table.shape}")
            if table.dtype != dtype:
                raise TypeError(f'embedding: expected dtype {dtype}, got {table.dtype}; .astype("{dtype}") converts it')
            self.embedding, self.count = table, len(table)
        require_below(self.tokens, self.count)

    def fold(self) -> bool:
        """Whether to fold: with an embedding, where each token stands there twice on average. Unit vectors always."""
        return self.tokens.size > 0 and (self.embedding is None or 2 * self.count <= self.tokens.size)

    def unfolded(self) -> Array:
        """The vectors: tokens' shape and one axis more."""
        if self.embedding is not None:
            return _core.embedding(self.embedding, self.tokens).reshape(*self.tokens.shape, self.embedding.shape[1])
        x = np.zeros((*self.tokens.shape, self.count), self._dtype)
        np.put_along_axis(x, self.tokens[..., np.newaxis], 1, axis=-1)
        return x

    def embedding_gradient(self, dx: Array) -> Array | None:
        """The embedding's gradient, given that of `unfolded()`."""
        if self.embedding is None:
            return None
        return _core.embedding_gradient(self.tokens.reshape(-1), dx.reshape(-1, dx.shape[-1]), self.count)
