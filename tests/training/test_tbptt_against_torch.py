"""With k1 = k2 `tbptt` is what PyTorch gives when the state is detached between windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from tolerances import check_same_numbers
from torch_there import torch, torch_dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("window", [6, 10])
def test_windows(window: int, dtype: Any) -> None:
    torch.manual_seed(0)
    kind = torch_dtype(dtype)
    theirs = torch.nn.ModuleList([torch.nn.LSTM(3, 9, dtype=kind), torch.nn.Linear(9, 2, dtype=kind)])
    model = fr.nn.Sequential(fr.LSTM(3, 9, dtype=dtype), fr.nn.Linear(9, 2, dtype=dtype))
    model.load_params(theirs.state_dict())
    x, targets = np.random.default_rng(0).standard_normal((2, 30, 4, 3)).astype(dtype)
    targets = targets[..., :2]
    state = None
    for update in fr.tbptt(model, [(x[:11], targets[:11]), (x[11:], targets[11:])], fr.nn.mse, k1=window):
        span = slice(update.step - window, update.step)
        theirs.zero_grad()
        y, state = theirs[0](torch.tensor(x[span]), state)
        state = tuple(part.detach() for part in state)
        loss = torch.nn.functional.mse_loss(theirs[1](y), torch.tensor(targets[span]))
        loss.backward()
        check_same_numbers("loss", np.asarray(update.loss, dtype), loss.detach().numpy())
        for name, param in theirs.named_parameters():
            check_same_numbers(f"d {name}", update.gradients[name], param.grad.numpy())
            with torch.no_grad():
                param -= 0.1 * param.grad
            model.params[name] -= dtype(0.1) * update.gradients[name]
        for part, other in zip(update.state[0], state, strict=True):
            check_same_numbers("state", part, other.numpy())
