"""Packed sequences as padded ones with lengths, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


class Packing:
    """How the rows of a PackedSequence lie: batch_sizes[t] of them, the longest first, have step t."""

    def __init__(self, packed: Any) -> None:
        self._batch_sizes = packed.batch_sizes
        self._sorted_indices, self._unsorted_indices = packed.sorted_indices, packed.unsorted_indices
        self.steps, self.rows = len(packed.batch_sizes), int(packed.batch_sizes[0])
        self._full = int(packed.batch_sizes[-1]) == self.rows
        ends = torch.arange(self.rows).unsqueeze(0) < packed.batch_sizes.unsqueeze(1)
        self._lengths = ends.sum(0)

    def sort(self, state: Any) -> Any:
        """A state (·, B, ·) as the rows lie; `unsort` undoes it."""
        return state if self._sorted_indices is None else state.index_select(1, self._sorted_indices)

    def unsort(self, state: Any) -> Any:
        return state if self._unsorted_indices is None else state.index_select(1, self._unsorted_indices)

    @property
    def lengths(self) -> Any:
        """(B,) int64, or None: all rows have all steps."""
        return None if self._full else self._lengths

    def padded(self, data: Any) -> Any:
        """(T, B, ·) of packed rows (sum of batch_sizes, ·)."""
        if self._full:
            return data.view(self.steps, self.rows, *data.shape[1:])
        return pad_packed_sequence(PackedSequence(data, self._batch_sizes))[0]

    def packed(self, padded: Any) -> Any:
        """The PackedSequence of (T, B, ·)."""
        if self._full:
            data = padded.reshape(self.steps * self.rows, *padded.shape[2:])
        else:
            data = pack_padded_sequence(padded, self._lengths).data
        return PackedSequence(data, self._batch_sizes, self._sorted_indices, self._unsorted_indices)
