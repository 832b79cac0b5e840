"""PyTorch for the tests against it: without torch they are skipped, except under CI, which installs it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

if os.environ.get("CI"):
    import torch
else:
    torch = pytest.importorskip("torch", reason="torch is not installed: no parity with it is shown")

torch.set_num_threads(1)  # the problems are small

__all__ = ["tensor", "torch", "torch_dtype"]


def torch_dtype(dtype: Any) -> Any:
    return torch.float32 if dtype is np.float32 else torch.float64


def tensor(array: Any, grad: bool = False) -> Any:
    return torch.tensor(np.asarray(array), requires_grad=grad)
