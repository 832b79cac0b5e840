"""`fusedrnn.from_torch`: what torch.nn has, as a layer or a cell. PyTorch itself is not imported."""

from __future__ import annotations

from typing import Any

from fusedrnn import _checks
from fusedrnn.cells import GRUCell, LSTMCell, RNNCell
from fusedrnn.convert.params.arrays import as_floats, result_dtype
from fusedrnn.layers import GRU, LSTM, RNN

KINDS: dict[str, Any] = {
    "LSTM": LSTM,
    "GRU": GRU,
    "RNN": RNN,
    "LSTMCell": LSTMCell,
    "GRUCell": GRUCell,
    "RNNCell": RNNCell,
}
"""Classes of torch.nn, and what stands for them here."""

TORCH_CLASSES = "torch.nn.modules.rnn"
"""The module that defines them."""


def from_torch(module: object, *, dtype: object = None, rng: object = None) -> Any:
    """A layer or a cell that computes what a module of PyTorch computes, with a copy of its parameters.

    Args:
        module: a torch.nn.LSTM, GRU, RNN, LSTMCell, GRUCell or RNNCell, on any device.
        dtype: float32 or float64; None for that of the module (float32 for one of half precision).
        rng: for the dropout masks, as in the constructors.

    Returns:
        The class of the same name, with the same sizes, options and parameters. There is no train() and no eval(): a
        call never drops, `record` does.

    Raises:
        TypeError: another module. Where it has recurrent modules inside, the message says where.
        ValueError: a subclass that computes something else.
    """
    found: Any = module
    name = _torch_class(found)
    parameters = dict(found.named_parameters(recurse=False))
    if set(parameters) != set(found.state_dict()):
        raise ValueError(f"module: expected the parameters of a plain {name}, got {', '.join(found.state_dict())}")
    arrays = {key: as_floats(key, value) for key, value in parameters.items()}
    options: dict[str, Any] = {
        "bias": bool(found.bias),
        "dtype": result_dtype(dtype, list(arrays.values())),
        "rng": rng,
    }
    if not name.endswith("Cell"):
        options |= {key: getattr(found, key) for key in ("num_layers", "batch_first", "dropout", "bidirectional")}
        options["dropout"] = float(options["dropout"])
        if found.num_layers == 1:
            options["dropout"] = 0.0  # it is between layers, and fusedrnn warns of one that does nothing
    if name == "LSTM":
        options["proj_size"] = found.proj_size
    if name.startswith("RNN"):
        options["nonlinearity"] = found.nonlinearity
    made = KINDS[name](found.input_size, found.hidden_size, **options)
    made.load_params(arrays)
    return made


def _torch_class(module: Any) -> str:
    """The name of the class of torch.nn whose forward the module has."""
    for base in type(module).__mro__:
        if base.__module__ == TORCH_CLASSES and base.__name__ in KINDS:
            if type(module).forward is not vars(base)["forward"]:
                raise ValueError(
                    f"module: expected a plain {base.__name__}, got {type(module).__name__}, whose forward is another"
                )
            return base.__name__
    inside = _recurrent_inside(module)
    raise TypeError(
        f"module: expected one of torch.nn's {', '.join(KINDS)}, got {_checks.describe(module)}"
        + (f"; it has some at {', '.join(inside)}" if inside else "")
    )


def _recurrent_inside(module: Any) -> list[str]:
    if not hasattr(module, "named_modules"):
        return []
    return [
        name
        for name, part in module.named_modules()
        if any(base.__module__ == TORCH_CLASSES and base.__name__ in KINDS for base in type(part).__mro__)
    ]
