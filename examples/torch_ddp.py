"""Train a PyTorch model on several processes, its LSTM on fusedrnn: DistributedDataParallel over gloo.

    python examples/torch_ddp.py [--steps N] [--batch B] [--seed N] [--torch-layers]
    torchrun --nproc-per-node 2 examples/torch_ddp.py

The model reads sequences of bits and says at every step whether there were more ones than zeros in the last eight. Each
process draws its share of the same batch, so that any number of processes computes the same losses to rounding. The
only line about fusedrnn is the one with `accelerate`; --torch-layers leaves it out, to compare.
"""

from __future__ import annotations

import argparse
import gc
import os
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from fusedrnn.torch import accelerate

STEPS_OF_TIME, WINDOW, UNITS = 64, 8, 64


class Model(torch.nn.Module):
    """Two layers of LSTM and a score at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(1, UNITS, num_layers=2, batch_first=True)
        self.output = torch.nn.Linear(UNITS, 1)

    def forward(self, x: Any) -> Any:
        return self.output(self.lstm(x)[0]).squeeze(-1)


def batch(generator: Any, rows: int) -> tuple[Any, Any]:
    """(B, T, 1) bits as -1 and 1, and (B, T) whether ones are in the majority of the last WINDOW."""
    bits = torch.randint(2, (rows, STEPS_OF_TIME), generator=generator).float() * 2 - 1
    sums = bits.cumsum(1)
    sums[:, WINDOW:] -= sums[:, :-WINDOW].clone()
    return bits.unsqueeze(-1), (sums > 0).float()


def train(model: Any, steps: int, rows: int, seed: int, rank: int, processes: int) -> list[float]:
    """The mean loss of all processes at every step."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(seed)
    share = slice(rank * rows // processes, (rank + 1) * rows // processes)
    losses = []
    for _ in range(steps):
        x, target = batch(generator, rows)
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x[share]), target[share])
        loss.backward()  # gradients are averaged over the processes here
        optimiser.step()
        mean = loss.detach()
        if processes > 1:
            dist.all_reduce(mean)
        losses.append(mean.item() / processes)
    return losses


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64, help="rows of all processes together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--torch-layers", action="store_true", help="leave the LSTM to PyTorch")
    options = parser.parse_args(argv)
    processes, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    if options.batch % processes:
        parser.error(f"argument --batch: expected a multiple of the {processes} processes")
    torch.manual_seed(options.seed)
    model: Any = Model()
    if not options.torch_layers:
        report = accelerate(model)
        if rank == 0:
            print(report)
    if processes > 1:
        dist.init_process_group("gloo")
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
        model = DistributedDataParallel(model)
    losses = train(model, options.steps, options.batch, options.seed, rank, processes)
    if rank == 0:
        print(f"{processes} processes: loss {losses[0]:.6f} to {losses[-1]:.6f}")
    if processes > 1:
        del model
        gc.collect()  # else the model keeps the group, whose threads may outlive Python and abort
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
