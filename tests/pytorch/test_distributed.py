"""DistributedDataParallel over gloo: two processes compute the gradients of one on the joint batch."""

from __future__ import annotations

import gc
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fusedrnn.torch as ours
from torch_layers import check_close
from torch_there import torch

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="this PyTorch has no gloo"
)


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(3, 8, 2, bidirectional=True, dtype=torch.float64)
        self.cell = torch.nn.LSTMCell(16, 4, dtype=torch.float64)
        ours.accelerate(self)

    def forward(self, x: Any) -> Any:
        y, _ = self.gru(x)
        return self.cell(y[-1])[0]


def rows(begin: int, end: int) -> Any:
    return torch.linspace(-1, 1, 5 * 8 * 3, dtype=torch.float64).reshape(5, 8, 3)[:, begin:end]


def _work(rank: int, port: int, path: str) -> None:
    store = torch.distributed.TCPStore("127.0.0.1", port, 2, rank == 0)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    model = torch.nn.parallel.DistributedDataParallel(Model())
    model(rows(4 * rank, 4 * rank + 4)).square().mean().backward()
    if rank == 0:
        torch.save([p.grad for p in model.parameters()], path)
    del model
    gc.collect()  # else the model keeps the group, whose threads may outlive Python and abort
    torch.distributed.destroy_process_group()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    path = str(tmp_path / "gradients.pt")
    torch.multiprocessing.spawn(_work, (free_port(), path), nprocs=2)
    model = Model()
    model(rows(0, 8)).square().mean().backward()
    check_close("gradients", torch.load(path), [p.grad for p in model.parameters()])


def losses(*command: str) -> list[float]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, *command, str(ROOT / "examples" / "torch_ddp.py"), "--steps", "4", "--batch", "8"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert "lstm: on fusedrnn" in result.stdout
    return [float(number) for number in re.findall(r"(?:loss|to) (\d+\.\d+)", result.stdout)]


def test_the_example() -> None:
    """The losses of two processes are those of one."""
    launched = losses("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()))
    assert launched == pytest.approx(losses(), abs=2e-6)
