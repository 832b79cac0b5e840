"""A forecast of a series in PyTorch: an LSTM that reads a window and gives the next value, and is then given its own
forecasts. The job of `examples/forecast.py`.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class Forecaster(nn.Module):
    def __init__(self, units: int = 32) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, units)
        self.head = nn.Linear(units, 1)

    def forward(self, x: torch.Tensor, state: tuple | None = None) -> tuple[torch.Tensor, tuple]:
        y, state = self.lstm(x, state)
        return self.head(y), state


def windows(series: np.ndarray, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every window of the series (length, count, 1), and the value that follows each step of it."""
    rows = np.lib.stride_tricks.sliding_window_view(series.astype(np.float32), length + 1).T[..., np.newaxis]
    return torch.from_numpy(rows[:-1].copy()), torch.from_numpy(rows[1:].copy())


def train(series: np.ndarray, validation: np.ndarray, length: int, epochs: int, seed: int) -> Forecaster:
    """The parameters of the epoch whose loss of `validation` was least; both series are scaled."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Forecaster()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    x, targets = windows(series, length)
    held_out_x, held_out_targets = windows(validation, length)
    best, kept = np.inf, copy.deepcopy(model.state_dict())
    for _ in range(epochs):
        for chosen in np.array_split(rng.permutation(x.shape[1]), -(-x.shape[1] // 32)):
            loss = F.mse_loss(model(x[:, chosen])[0], targets[:, chosen])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        with torch.no_grad():
            found = F.mse_loss(model(held_out_x)[0], held_out_targets).item()
        if found < best:
            best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model


@torch.no_grad()
def forecast(model: Forecaster, past: np.ndarray, steps: int) -> np.ndarray:
    """The next values after `past`, each from those before it."""
    y, state = model(torch.from_numpy(past.astype(np.float32))[:, None, None])
    values = [y[-1:]]
    for _ in range(steps - 1):
        y, state = model(values[-1], state)
        values.append(y)
    return torch.cat(values)[:, 0, 0].numpy()
