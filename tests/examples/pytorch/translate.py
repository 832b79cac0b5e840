"""The translator of `examples/translate.py` in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from translate import END, START, Pair, numbered


class Encoder(nn.Module):
    def __init__(self, words: int, units: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 32)
        self.gru = nn.GRU(32, units)

    def forward(self, rows: list[torch.Tensor]) -> torch.Tensor:
        embedded = self.embedding(pad_sequence(rows))
        packed = pack_padded_sequence(embedded, [len(row) for row in rows], enforce_sorted=False)
        return self.gru(packed)[1]


class Decoder(nn.Module):
    def __init__(self, words: int, units: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 32)
        self.gru = nn.GRU(32, units)
        self.head = nn.Linear(units, words)

    def forward(self, tokens: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, state = self.gru(self.embedding(tokens), state)
        return self.head(y), state


class Translator:
    """An encoder and a decoder, and the words of both languages."""

    def __init__(self, pairs: list[Pair], seed: int, units: int = 96) -> None:
        torch.manual_seed(seed)
        self.english, self.german = numbered([a for a, _ in pairs]), numbered([b for _, b in pairs])
        self.words = list(self.german)
        self.encoder = Encoder(len(self.english), units)
        self.decoder = Decoder(len(self.german), units)

    def train(self, pairs: list[Pair], epochs: int, seed: int, batch: int = 32) -> list[float]:
        """Teacher forcing; the loss of every step."""
        rng = np.random.default_rng(seed)
        steps = -(-len(pairs) // batch)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=5e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps, eta_min=1e-4)
        losses = []
        for _ in range(epochs):
            for rows in np.array_split(rng.permutation(len(pairs)), steps):
                sources = [torch.tensor([self.english[word] for word in pairs[i][0]]) for i in rows]
                targets = [torch.tensor([START, *(self.german[w] for w in pairs[i][1]), END]) for i in rows]
                given = pad_sequence([row[:-1] for row in targets])
                wanted = pad_sequence([row[1:] for row in targets], padding_value=-100)
                logits, _ = self.decoder(given, self.encoder(sources))
                loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-100)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                losses.append(loss.item())
        return losses

    @torch.no_grad()
    def encode(self, sentences: list[list[str]]) -> torch.Tensor:
        """The state after each sentence."""
        return self.encoder([torch.tensor([self.english[word] for word in words]) for words in sentences])

    @torch.no_grad()
    def greedy(self, sentences: list[list[str]], longest: int = 20) -> list[list[str]]:
        """All sentences at once: the likeliest word each time."""
        state, tokens = self.encode(sentences), torch.full((1, len(sentences)), START)
        steps = []
        for _ in range(longest):
            logits, state = self.decoder(tokens, state)
            tokens = logits.argmax(-1)
            steps.append(tokens[0])
        rows = torch.stack([*steps, torch.full((len(sentences),), END)], dim=1).tolist()
        return [[self.words[token] for token in row[: row.index(END)]] for row in rows]

    @torch.no_grad()
    def beam(self, words: list[str], width: int = 4, longest: int = 20) -> list[tuple[float, list[str]]]:
        """The best translations of one sentence, and the logarithms of their probabilities."""
        h = self.encode([words])
        open_, finished = [(0.0, [START])], []
        for _ in range(longest):
            logits, h = self.decoder(torch.tensor([[row[-1] for _, row in open_]]), h)
            scores = torch.log_softmax(logits[0], -1) + torch.tensor([[score] for score, _ in open_])
            grown = [divmod(int(i), scores.shape[1]) for i in scores.flatten().topk(width).indices]
            made = [(scores[of, token].item(), [*open_[of][1], token], of) for of, token in grown]
            finished += [(score, row) for score, row, _ in made if row[-1] == END]
            still = [found for found in made if found[1][-1] != END]
            if not still or len(finished) >= width:
                break
            h = h[:, [of for _, _, of in still]]
            open_ = [(score, row) for score, row, _ in still]
        best = sorted(finished or open_, reverse=True)[:width]
        return [(score, [self.words[token] for token in row if token not in (START, END)]) for score, row in best]
