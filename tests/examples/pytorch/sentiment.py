"""The judge of `examples/sentiment.py` in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from sentiment import BATCH, EPOCHS, NUMBERS, UNITS, VOCABULARY, WIDTH, Sentence

ENCODINGS = {
    "embeddings": (lambda: nn.Embedding(VOCABULARY, WIDTH, padding_idx=0), WIDTH),
    "one-hot": (lambda: lambda tokens: F.one_hot(tokens, VOCABULARY).float(), VOCABULARY),
    "numbers": (lambda: lambda tokens: tokens[..., None] / VOCABULARY, 1),
}
"""The part before the LSTM, and how wide that one's input is."""


class Judge(nn.Module):
    """An LSTM that says of sentences how likely they are praise."""

    def __init__(self, encoding: str, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        first, width = ENCODINGS[encoding]
        self.encode = first()
        self.lstm = nn.LSTM(width, UNITS)
        self.head = nn.Linear(UNITS, 2)

    def forward(self, sentences: list[list[str]]) -> torch.Tensor:
        rows = [torch.tensor([NUMBERS[word] for word in words]) for words in sentences]
        lengths = [len(row) for row in rows]
        packed = pack_padded_sequence(self.encode(pad_sequence(rows)), lengths, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.head(h[-1])

    def learn(self, sentences: list[Sentence], seed: int) -> None:
        rng = np.random.default_rng(seed)
        batches = len(sentences) // BATCH
        optimiser = torch.optim.Adam(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS * batches)
        for _ in range(EPOCHS):
            for rows in np.array_split(rng.permutation(len(sentences)), batches):
                targets = torch.tensor([sentences[row][1] for row in rows])
                loss = F.cross_entropy(self([sentences[row][0] for row in rows]), targets)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters(), 1.0)
                optimiser.step()
                schedule.step()

    @torch.no_grad()
    def praise(self, sentences: list[list[str]]) -> np.ndarray:
        return self(sentences).softmax(-1)[:, 1].numpy()
