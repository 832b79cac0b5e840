"""How many threads the layers of `fusedrnn.torch` use: as many as PyTorch, unless told otherwise."""

from __future__ import annotations

import os

import torch

from fusedrnn import _checks, _core

followed = 0
"""PyTorch's number of threads that was taken last; 0: none yet, -1: it is not followed."""


def follow_torch_threads(enabled: bool = True) -> None:
    """Let fusedrnn use as many threads as PyTorch, from now on.

    It is so from the start, unless the environment sets FUSEDRNN_NUM_THREADS: the first call of a layer, and the first
    one after each `torch.set_num_threads`, takes PyTorch's number for the whole of fusedrnn. What
    `fusedrnn.set_num_threads` says later holds until PyTorch's number changes again.

    Args:
        enabled: False to leave the number to `fusedrnn.set_num_threads` alone.

    Raises:
        TypeError: enabled is not a bool.
    """
    global followed
    followed = 0 if _checks.boolean("enabled", enabled) else -1
    take_torch_threads()


def take_torch_threads() -> None:
    """Use as many threads as PyTorch, where its number has changed since the last time."""
    global followed
    threads = torch.get_num_threads()
    if threads != followed and followed >= 0:
        _core.set_num_threads(min(threads, _core.max_threads))
        followed = threads


if "FUSEDRNN_NUM_THREADS" in os.environ:
    followed = -1
