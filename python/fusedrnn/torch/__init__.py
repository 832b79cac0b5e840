"""PyTorch's recurrent layers on fusedrnn: the same modules, faster on a CPU.

    import fusedrnn.torch

    fusedrnn.torch.accelerate(model)    # every nn.LSTM, nn.GRU, nn.RNN and cell in it, in place

or one by one: `LSTM`, `GRU`, `RNN`, `LSTMCell`, `GRUCell` and `RNNCell` are subclasses of torch.nn's. Float32 and
float64 on a CPU run on fusedrnn, with gradients; all else runs on PyTorch's own code, and `warn_of_fallback` says why.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "fusedrnn.torch needs PyTorch, which is not installed: pip install 'fusedrnn[torch]'", name=error.name
    ) from error

from fusedrnn.torch._fallback import FallbackWarning, warn_of_fallback
from fusedrnn.torch.accelerate import Report, accelerate, restore
from fusedrnn.torch.cells import GRUCell, LSTMCell, RNNCell
from fusedrnn.torch.layers import GRU, LSTM, RNN
from fusedrnn.torch.threads import follow_torch_threads

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "FallbackWarning",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "Report",
    "accelerate",
    "follow_torch_threads",
    "restore",
    "warn_of_fallback",
]
