"""The compiled network of a list of parameters: it reads them where they lie, and notices when they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.weak import WeakIdKeyDictionary

from fusedrnn import _core
from fusedrnn._checks import Array

SAMPLE = 16
"""How many elements of each parameter are compared before every step."""

STEPS_BETWEEN_FINGERPRINTS = 64
"""After so many steps the fingerprints of all parameters are taken, whatever the versions and the samples say."""

PLAIN = (torch.Tensor, torch.nn.Parameter)
"""The types of tensors that are memory and nothing else."""

POOLED_BATCH_SIZES = 16
"""For how many batch sizes streams are kept."""


class Kind(NamedTuple):
    """What a network is, beside the shapes of its parameters."""

    cell: str
    """ "lstm", "gru", "rnn_tanh" or "rnn_relu"."""
    num_layers: int = 1
    bidirectional: bool = False


def gates_of(cell: str) -> int:
    return _core.gates[cell.partition("_")[0]]


def array_of(tensor: Any) -> Any:
    """The memory of a tensor as an array, without a copy; None of None."""
    return None if tensor is None else tensor.detach().numpy()


def _pointers(tensors: Sequence[Any]) -> list[int]:
    """Where they lie; 0 for a tensor without memory."""
    return [tensor.data_ptr() if type(tensor) in PLAIN else 0 for tensor in tensors]


class Weights:
    """A network bound to the memory of some tensors, its packed weights, and streams for its single steps.

    A call over a sequence takes the fingerprints of the parameters, as all of fusedrnn does. That would cost a single
    step more than the step itself, which therefore goes by what is cheaper: the tensors' version counters, which count
    every change in place but those through `.data` and by PyTorch's fused optimisers, and some elements of each
    parameter, which such changes hit too. Fingerprints are taken now and then, and after each backward pass.
    """

    def __init__(self, kind: Kind, tensors: Sequence[Any]) -> None:
        self.arrays: list[Array] = [array_of(tensor.contiguous()) for tensor in tensors]
        self.network = _network(kind, self.arrays)
        self.network.bind(self.arrays)
        self.pointers = _pointers(tensors)
        self.in_place = all(tensor.is_contiguous() for tensor in tensors)
        self.samples = [a.reshape(-1)[:: max(1, a.size // SAMPLE) | 1] for a in self.arrays]
        self._squares = [n for n, array in enumerate(self.arrays) if array.shape == array.shape[:1] * 2]
        self._fingerprints: list[int] = []
        self.sampled: list[bytes] = []
        self.versions: list[int] = []
        self.steps_left = 0
        self.streams: dict[int, list[_core.Stream]] = {}
        self.returned: tuple[Any, Any, Any, Any] = (None, None, None, None)
        """h_n and c_n of the last step, where they lie, and these as arrays."""

    def is_of(self, tensors: Sequence[Any]) -> bool:
        """Whether these tensors are the parameters, where they were."""
        return _pointers(tensors) == self.pointers and not self.turned(tensors)

    def turned(self, tensors: Sequence[Any]) -> bool:
        """Whether a square matrix has been transposed where it lies: another shape would tell of any other."""
        return any(not tensors[n].is_contiguous() for n in self._squares) if self._squares else False

    def forget_versions(self) -> None:
        """Let the next step take fingerprints: the parameters will probably change."""
        self.steps_left = 0

    def notice_changes(self, tensors: Sequence[Any]) -> None:
        """Let the streams take the parameters anew if these have changed. RuntimeError: tensors without versions."""
        versions = [tensor._version for tensor in tensors]
        sampled = [sample.tobytes() for sample in self.samples]
        fingerprints = [_core.fingerprint(array) for array in self.arrays]
        if fingerprints != self._fingerprints:
            self.network.touch()
        self._fingerprints, self.sampled, self.versions = fingerprints, sampled, versions
        self.steps_left = STEPS_BETWEEN_FINGERPRINTS

    def new_stream(self, rows: int) -> _core.Stream:
        """One of this batch size for one thread, which puts it into `streams` after its step, for the next."""
        if len(self.streams) >= POOLED_BATCH_SIZES and rows not in self.streams:
            self.streams.clear()
        self.streams.setdefault(rows, [])
        return self.network.stream(rows)


def _network(kind: Kind, arrays: Sequence[Array]) -> _core.Network:
    """The network of such parameters, in torch.nn's order."""
    cell, _, nonlinearity = kind.cell.partition("_")
    rows, input_size = arrays[0].shape
    hidden_size, recurrent_size = rows // gates_of(cell), arrays[1].shape[1]
    proj_size = recurrent_size if recurrent_size != hidden_size else 0
    in_a_direction = len(arrays) // (kind.num_layers * (2 if kind.bidirectional else 1))
    return _core.Network(
        cell,
        input_size,
        hidden_size,
        num_layers=kind.num_layers,
        bias=in_a_direction >= 4,
        bidirectional=kind.bidirectional,
        proj_size=proj_size,
        nonlinearity=nonlinearity or "tanh",
        dtype=arrays[0].dtype.name,
    )


_kept: Any = WeakIdKeyDictionary()
"""By the first tensor, as long as that lives: the kind and the weights of the last list that began with it."""


def weights_of(kind: Kind, tensors: Sequence[Any]) -> Weights:
    """The weights of these tensors, kept from an earlier call where their memory is still the same."""
    kept = _kept.get(tensors[0])
    if kept is not None and kept[0] == kind and kept[1].is_of(tensors):
        found: Weights = kept[1]
        return found
    weights = Weights(kind, tensors)
    if weights.in_place:  # else it has copies of some parameters, which no later call may use
        _kept[tensors[0]] = kind, weights
    return weights
