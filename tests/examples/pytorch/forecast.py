"""The forecaster of `examples/forecast.py` in PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

UNITS = 32


class Forecaster(nn.Module):
    """A GRU that has learned to say the next value of a series (T, 1, 1)."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.gru = nn.GRU(1, UNITS)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(UNITS, 1)
        self.optimiser = torch.optim.AdamW(self.parameters(), lr=5e-3, weight_decay=0.1)

    def forward(self, x: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        y, state = self.gru(x, state)
        return self.head(self.dropout(y)), state

    def learn(self, series: torch.Tensor, steps: int) -> None:
        self.train()
        for _ in range(steps):
            loss = F.mse_loss(self(series[:-1])[0], series[1:])
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            self.optimiser.step()

    @torch.no_grad()
    def next_values(self, series: torch.Tensor) -> torch.Tensor:
        """What follows each value of the series but the last."""
        self.eval()
        return self(series[:-1])[0]

    @torch.no_grad()
    def go_on(self, series: torch.Tensor, steps: int) -> torch.Tensor:
        """Its own forecasts, each read as if it had come true."""
        self.eval()
        y, state = self(series)
        found = [y[-1:]]
        while len(found) < steps:
            y, state = self(found[-1], state)
            found.append(y)
        return torch.cat(found)
