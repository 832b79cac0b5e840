"""A classifier of sentences in PyTorch: an embedding, an LSTM over rows of different lengths, its last state, a
probability. The job of `examples/sentiment.py`.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence


class Classifier(nn.Module):
    def __init__(self, words: int, units: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 16)
        self.lstm = nn.LSTM(16, units)
        self.head = nn.Linear(units, 1)

    def forward(self, rows: list[torch.Tensor]) -> torch.Tensor:
        embedded = self.embedding(pad_sequence(rows))
        packed = pack_padded_sequence(embedded, [len(row) for row in rows], enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.head(h[-1]).squeeze(-1)


def train(rows: list[list[int]], labels: list[int], words: int, epochs: int, seed: int) -> Classifier:
    """Sentences as tokens, and whether each is positive."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Classifier(words)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(epochs):
        for chosen in np.array_split(rng.permutation(len(rows)), -(-len(rows) // 32)):
            logits = model([torch.tensor(rows[i]) for i in chosen])
            loss = F.binary_cross_entropy_with_logits(logits, torch.tensor([float(labels[i]) for i in chosen]))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
    return model


@torch.no_grad()
def predict(model: Classifier, rows: list[list[int]]) -> np.ndarray:
    """Which of the sentences are positive."""
    return (model([torch.tensor(row) for row in rows]) > 0).numpy()
