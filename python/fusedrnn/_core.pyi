"""The compiled core. Arrays in, arrays out; `fusedrnn`'s public classes wrap it."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

@final
class Network:
    """A stack of recurrent layers of one cell kind and one dtype, with its packed weights.

    `cell` is one of the keys of `gates`; `dtype` "float32" or "float64"; `nonlinearity` one of `nonlinearities()`
    (only "rnn" reads it); `reverse` makes a one-direction network run from the last step to the first.
    Safe to call from several threads at once.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        reverse: bool = False,
        proj_size: int = 0,
        nonlinearity: str = "tanh",
        dtype: str = "float32",
    ) -> None: ...
    @property
    def param_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """(name, shape) of every parameter, torch.nn's names, in the order `bind` and the gradients use."""

    def bind(self, params: Sequence[Array]) -> None:
        """Use these arrays (C-contiguous, of the network's dtype) as parameters from now on.

        They are read, never written. A change made to them in place is noticed by the next call.
        """

    def bind_one(self, index: int, param: Array) -> None:
        """Use another array for one parameter; all others stay."""

    @property
    def params(self) -> list[Array]:
        """The arrays that `bind` was given last."""

    def forward(
        self,
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        *,
        lengths: NDArray[np.int64] | None = None,
        reset: NDArray[np.bool_] | None = None,
        batch_first: bool = False,
        return_cell: bool = False,
        table: Array | None = None,
    ) -> tuple[Array, Array, Array | None, Array | None]:
        """y, h_n, c_n (LSTM), cells (LSTM with return_cell). x is (T, B, I), or (B, T, I) with batch_first.

        Or x is tokens, int64 (T, B) or (B, T), which stand for rows of `table` (V, I), or for unit vectors.

        reset is (T, B) always, (B, T) with batch_first.
        """

    def record(
        self,
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        *,
        lengths: NDArray[np.int64] | None = None,
        reset: NDArray[np.bool_] | None = None,
        batch_first: bool = False,
        return_cell: bool = False,
        dropout_masks: Sequence[Array] | None = None,
        checkpoint: int = 0,
        table: Array | None = None,
    ) -> tuple[Array, Array, Array | None, Array | None, Tape]:
        """As forward, and the tape. dropout_masks: num_layers - 1 arrays (T, B, D * out), multiplied into
        the outputs of every layer but the last (always time-major)."""

    def stream(self, batch_size: int, table: Array | None = None, tokens: bool = False) -> Stream: ...
    def touch(self) -> None:
        """Tell the streams that the parameters have changed in place."""

    def freeze(self, frozen: bool = True) -> None:
        """While frozen, calls do not look whether the parameters have changed. `bind` and `bind_one` end it."""

    @property
    def frozen(self) -> bool: ...

@final
class Tape:
    """What one `Network.record` kept for its backward pass. Used once."""

    @property
    def nbytes(self) -> int: ...
    def backward(
        self,
        dy: Array | None = None,
        dh_n: Array | None = None,
        dc_n: Array | None = None,
        *,
        truncate: int = 0,
    ) -> tuple[Array, Array, Array | None, list[Array], Array | None]:
        """dx (None with tokens), dh0, dc0 (LSTM), the gradients in `param_shapes` order, and that of the table.

        truncate = 0: full BPTT.
        """

@final
class Stream:
    """A network stepped one time step at a time; keeps its state and the weights it was made with."""

    @property
    def batch_size(self) -> int: ...
    def step(self, x: Array, out: Array | None = None) -> Array: ...
    def process(self, x: Array, out: Array | None = None) -> Array: ...
    def refresh(self) -> None: ...
    def reset(self, rows: NDArray[np.bool_] | None = None) -> None: ...
    def get_state(self) -> tuple[Array, Array | None]: ...
    def set_state(self, h: Array, c: Array | None = None) -> None: ...

@final
class StagedLayer:
    """One direction of one layer whose cell has options: `fusedrnn.reference.staged` says what they and results are.

    `activations`: (name, alpha, beta) of an LSTM's gates, candidate and output; of a GRU's gates and candidate; of a
    simple RNN's output. `clip`, `cell_clip` 0: none. Safe to call from several threads at once.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        proj_size: int = 0,
        dtype: str = "float32",
        activations: Sequence[tuple[str, float, float]] | None = None,
        clip: float = 0.0,
        cell_clip: float = 0.0,
        peephole: bool = False,
        coupled: bool = False,
        reset_after: bool = True,
        minimal: bool = False,
        independent: bool = False,
        layer_norm: bool = False,
        epsilon: float = 1e-5,
    ) -> None: ...
    @property
    def param_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """(name, shape) of every parameter, in the order of the gradients."""

    def forward(
        self,
        params: Mapping[str, Array],
        x: Array,
        h0: Array | None = None,
        c0: Array | None = None,
        *,
        lengths: NDArray[np.int64] | None = None,
        reset: NDArray[np.bool_] | None = None,
        reverse: bool = False,
        h_mask: Array | None = None,
        zoneout_h: float | Array = 0.0,
        zoneout_c: float | Array = 0.0,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
        cells: bool = True,
        keep: bool = False,
        unchanged: bool = False,
    ) -> tuple[Array, Array, Array | None, Array | None, StagedTape | None]:
        """y (T, B, P), h_n (B, P); of an LSTM c_n (B, H) and, with `cells`, every c (T, B, H); with `keep` a tape.

        unchanged: no parameter has changed since the last call: nobody looks.
        """

@final
class StagedTape:
    """What one `StagedLayer.forward` kept for its backward pass. Used once."""

    @property
    def nbytes(self) -> int: ...
    def backward(
        self,
        dy: Array | None = None,
        dh_n: Array | None = None,
        dc_n: Array | None = None,
        *,
        truncate: int = 0,
    ) -> tuple[Array, Array, Array | None, list[Array], Array, Array | None]:
        """dx, dh0, dc0, the gradients in `param_shapes` order, and those of initial_h and initial_c."""

@final
class Linear:
    """y = x weightᵀ + bias, with its packed weight. x is (N, I), y (N, O). Safe from several threads at once."""

    def __init__(self, in_features: int, out_features: int, dtype: str = "float32") -> None: ...
    def forward(self, weight: Array, bias: Array | None, x: Array) -> Array: ...
    def backward(
        self, weight: Array, bias: Array | None, x: Array, dy: Array, wants_dx: bool = True
    ) -> tuple[Any, Array, Array | None]:
        """dx (or None), dweight, dbias (None without one)."""

    def cross_entropy(
        self,
        weight: Array,
        bias: Array | None,
        x: Array,
        targets: NDArray[np.int64],
        weights: Array,
        wants_gradients: bool = True,
        wants_dx: bool = True,
    ) -> tuple[NDArray[np.float64], Any, Any, Any]:
        """losses (N,) in nats, not weighted, and the gradients of sum(weights * losses): dx, dweight, dbias.

        A row of weight 0 is left out: its loss is 0.
        """

def cross_entropy(
    logits: Array, targets: NDArray[np.int64], weights: Array, wants_gradient: bool = True
) -> tuple[NDArray[np.float64], Any]:
    """losses (N,) of logits (N, C), not weighted, and the gradient of sum(weights * losses)."""

def embedding(weight: Array, tokens: NDArray[np.int64]) -> Array:
    """weight[tokens], (N, E) for any shape of tokens."""

def embedding_gradient(tokens: NDArray[np.int64], dy: Array, num_embeddings: int) -> Array:
    """(V, E): of each token the sum of the rows of dy (N, E) where it stands in tokens (N,)."""

def dropout(x: Array, p: float, seed: int) -> Array:
    """x with elements zeroed with probability p and the others divided by 1 - p; the same ones for the same seed."""

def update(
    optimiser: str,
    params: Sequence[Array],
    gradients: Sequence[Array],
    first: Sequence[Array] | None,
    second: Sequence[Array] | None,
    *,
    rate: float,
    scale: float = 1.0,
    decay: float = 0.0,
    decoupled: float = 1.0,
    momentum: float = 0.0,
    second_momentum: float = 0.0,
    dampening: float = 0.0,
    epsilon: float = 0.0,
    second_scale: float = 1.0,
    nesterov: bool = False,
    first_step: bool = False,
) -> None:
    """One update of "sgd", "rmsprop" or "adam", in place: the rules stand in cpp/kernels/training/optimisers.hpp."""

def sums_of_squares(arrays: Sequence[Array]) -> list[float]:
    """Of each array the sum of its squares, in float64."""

def nonlinearities() -> list[str]: ...
def isa() -> str: ...
def available_isas() -> list[str]: ...
def compiled_isas() -> list[str]: ...
def use_isa(name: str) -> None: ...
def set_num_threads(n: int) -> None: ...

max_threads: int

gates: dict[str, int]
"""How many gates a cell has, by its name."""

def get_num_threads() -> int: ...
def processors() -> int:
    """How many processors a team may keep busy now, by affinity and CPU quota."""

def thread_costs() -> dict[str, int]:
    """What threads cost here, measured now, in nanoseconds.

    Keys: start_awake, start_asleep (until another thread works), barrier (of two), worth_a_second_thread (the work of
    a call, on one thread, from which on a second one is used).
    """

def set_team_mode(mode: str) -> None:
    """For tests. "adaptive": as many threads as get a processor; "fixed": as many as are asked for; "random": teams
    shrink and grow by chance."""

def build_info() -> dict[str, Any]: ...
def evaluate(function: str, x: Array) -> Array:
    """exp, tanh, sigmoid, … of the kernels, elementwise on a contiguous float32 or float64 array (for tests)."""

def ceilings(dtype: str, bytes: int, threads: int = 1) -> dict[str, float]:
    """gflops and gbytes_per_s that the kernels in use can reach over `bytes` of memory (for benchmarks)."""

def fingerprint(data: Any) -> int:
    """Of the bytes of a buffer: how a change of the parameters in place is noticed (for tests)."""
