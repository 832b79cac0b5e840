"""A learned vector for every token."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fusedrnn import _checks, _core
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn._tokens import require_below
from fusedrnn.nn._part import Part, PartTape, integers, like


class Embedding(Part):
    """y = weight[tokens].

    Args:
        num_embeddings: V, how many tokens there are: integers from 0 to V - 1.
        embedding_dim: E, values in a token's vector.
        padding_idx: a token whose vector is zero and stays so: its gradient is zero. None for no such token.
        dtype: float32 or float64.
        rng: None, an int seed or a numpy.random.Generator: the weight is drawn from N(0, 1), as torch.nn does.

    Parameters: weight (V, E).

    Raises:
        ValueError: a size below 1, padding_idx out of range.
        TypeError: an argument of the wrong type.
    """

    def __init__(
        self,
        num_embeddings: SupportsIndex,
        embedding_dim: SupportsIndex,
        padding_idx: SupportsIndex | None = None,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.num_embeddings = _checks.size("num_embeddings", num_embeddings)
        self.embedding_dim = _checks.size("embedding_dim", embedding_dim)
        self.padding_idx = None
        if padding_idx is not None:
            self.padding_idx = _checks.integer("padding_idx", padding_idx, 0, self.num_embeddings - 1)
        weight = _checks.generator(rng).standard_normal((self.num_embeddings, self.embedding_dim))
        if self.padding_idx is not None:
            weight[self.padding_idx] = 0
        super().__init__({"weight": weight}, _checks.real_dtype(dtype))

    def __call__(self, x: ArrayLike) -> Array:
        """(…) integers -> (…, E).

        Raises:
            ValueError: a token out of range.
            TypeError: x is not an array of integers.
        """
        tokens = self.tokens(x)
        return _core.embedding(self.params["weight"], tokens).reshape(*tokens.shape, self.embedding_dim)

    def record(self, x: ArrayLike) -> tuple[Array, EmbeddingTape]:
        """y of x, and the tape; its gradient of x is None."""
        tokens = integers("x", x).copy()  # the tape's own
        return self(tokens), EmbeddingTape(self, tokens)

    def tokens(self, x: ArrayLike) -> Array:
        """x as int64, its range checked."""
        tokens = integers("x", x)
        require_below(tokens, self.num_embeddings)
        return tokens

    def folded_gradients(self, dweight: Array | None) -> Gradients[None]:
        """The gradients where the layer after this part was given the tokens, and has taken that of the weight."""
        assert dweight is not None
        if self.padding_idx is not None:
            dweight[self.padding_idx] = 0
        return Gradients(None, None, {"weight": dweight})  # type: ignore[arg-type]

    def __repr__(self) -> str:
        padding = "" if self.padding_idx is None else f"padding_idx={self.padding_idx}"
        return self._repr(str(self.num_embeddings), str(self.embedding_dim), padding)


class EmbeddingTape(PartTape):
    """What `Embedding.record` kept."""

    __slots__ = ("_embedding", "_tokens")

    def __init__(self, embedding: Embedding, tokens: Array) -> None:
        super().__init__()
        self._embedding, self._tokens = embedding, tokens

    def _backward(self, dy: Array) -> Gradients[None]:
        width = self._embedding.embedding_dim
        dy = like("dy", dy, (*self._tokens.shape, width), self._embedding.dtype)
        count = self._embedding.num_embeddings
        dw = _core.embedding_gradient(self._tokens.reshape(-1), dy.reshape(-1, width), count)
        if self._embedding.padding_idx is not None:
            dw[self._embedding.padding_idx] = 0
        return Gradients(None, None, {"weight": dw})  # type: ignore[arg-type]
