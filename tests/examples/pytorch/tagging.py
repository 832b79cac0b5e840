"""The tagger of `examples/tagging.py` in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from tagging import TAGS, Sentence


class Tagger(nn.Module):
    def __init__(self, words: int, bidirectional: bool, units: int = 48) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 32)
        self.lstm = nn.LSTM(32, units, bidirectional=bidirectional)
        self.head = nn.Linear(2 * units if bidirectional else units, len(TAGS))

    def forward(self, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        packed = pack_padded_sequence(self.embedding(tokens), lengths, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0])
        return self.head(y)


def train(model: Tagger, training: list[Sentence], index: dict[str, int], epochs: int, seed: int) -> None:
    """Every word is replaced by the unknown word now and then, so that the network learns to do without it."""
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(epochs):
        order = rng.permutation(len(training))
        for rows in np.array_split(order, -(-len(order) // 32)):
            tokens = [torch.tensor([index[w] * (rng.random() > 0.15) for w in training[i][0]]) for i in rows]
            targets = pad_sequence([torch.tensor(training[i][1]) for i in rows], padding_value=-100)
            logits = model(pad_sequence(tokens), [len(row) for row in tokens])
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()


def tag(model: Tagger, index: dict[str, int], sentences: list[list[str]]) -> list[list[int]]:
    """The tags of the words of each sentence."""
    tokens = [torch.tensor([index.get(word, 0) for word in words]) for words in sentences]
    lengths = [len(row) for row in tokens]
    with torch.no_grad():
        logits = model(pad_sequence(tokens), lengths)
    return [logits[:length, row].argmax(-1).tolist() for row, length in enumerate(lengths)]


def from_state(state: dict) -> Tagger:
    """The tagger with the weights of a state_dict."""
    units = state["lstm.weight_hh_l0"].shape[1]
    model = Tagger(len(state["embedding.weight"]), "lstm.weight_ih_l0_reverse" in state, units)
    model.load_state_dict(state)
    model.eval()
    return model
