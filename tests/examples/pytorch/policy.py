"""The policy of `examples/policy.py` in PyTorch: the walk keeps the graph, so there is no second pass."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

from policy import ACTIONS, SEES, Mazes, returns


class Policy(nn.Module):
    """Probabilities of actions by a GRU; without memory its state is reset at every step."""

    def __init__(self, memory: bool, seed: int, units: int = 32) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.gru = nn.GRUCell(len(SEES), units)
        self.head = nn.Linear(units, len(ACTIONS))
        self.memory, self.rng = memory, np.random.default_rng(seed)

    def forward(self, x: torch.Tensor, h: torch.Tensor, begins: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        h = self.gru(x, h * ~begins[:, None])
        return Categorical(logits=self.head(h)), h

    def play(self, mazes: Mazes, steps: int) -> tuple[np.ndarray, torch.Tensor, np.ndarray, np.ndarray]:
        """Walk: what was seen (T, B, 4), the logarithms of what was done, what it brought, where episodes began."""
        h = torch.zeros(len(mazes.begins), self.gru.hidden_size)
        seen, log_probabilities, rewards, begins = [], [], [], []
        for _ in range(steps):
            begins.append(mazes.begins | (not self.memory))
            seen.append(mazes.look())
            distribution, h = self(torch.from_numpy(seen[-1]), h, torch.from_numpy(begins[-1]))
            done = distribution.sample()
            log_probabilities.append(distribution.log_prob(done))
            rewards.append(mazes.step(done.numpy()))
        return np.array(seen), torch.stack(log_probabilities), np.array(rewards), np.array(begins)

    def train_on(self, updates: int, rows: int = 64, steps: int = 32, lengths: tuple[int, int] = (1, 6)) -> None:
        """REINFORCE (Williams 1992): what was done becomes likelier by what it brought, less the mean of that."""
        optimiser = torch.optim.Adam(self.parameters(), lr=1e-2)
        for _ in range(updates):
            mazes = Mazes(rows, lengths, self.rng)
            seen, log_probabilities, rewards, _ = self.play(mazes, steps)
            value = returns(rewards, seen[..., :2].any(-1))
            advantage = torch.from_numpy((value - value.mean()) / (value.std() + 1e-6))
            loss = -(log_probabilities * advantage).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            optimiser.step()
