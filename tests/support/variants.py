"""Every variant of a layer that its options make, once: what the constructor is given beside the sizes.

The first word of a name is the cell. Each option of `fusedrnn._options.OPTIONS` has a variant whose name it ends with
(tests/options/test_options_table.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fusedrnn import _core
from fusedrnn._activations import ACTIVATIONS
from fusedrnn._options import RANDOM
from kinds import LAYERS

BOTH = {"bidirectional": True}
DEEP = {"num_layers": 2}

VARIANTS: dict[str, dict[str, Any]] = {
    "lstm activations": {"activations": ("hard_sigmoid", ("scaled_tanh", 1.2, 0.7), "softsign")},
    "lstm activations and projection": {
        "activations": (("affine", 0.4, 0.3), ("elu", 0.8), "softplus"),
        "proj_size": 3,
    },
    "gru activations": {"activations": ("hard_sigmoid", ("leaky_relu", 0.2))},
    "gru identity": {"activations": ("sigmoid", "identity")},
    "lstm reverse_activations": {**BOTH, "reverse_activations": ("sigmoid", "softsign", "relu")},
    "gru reverse_activations": {**BOTH, "reverse_activations": ("hard_sigmoid", "tanh")},
    "rnn reverse_nonlinearity": {**BOTH, "reverse_nonlinearity": "softsign"},
    **{f"rnn {name}": {"nonlinearity": name} for name in ACTIVATIONS if name not in _core.nonlinearities()},
    "rnn nonlinearity": {"nonlinearity": ("leaky_relu", 0.3)},
    "rnn nonlinearity without biases": {"nonlinearity": ("scaled_tanh", 1.7, 0.6), "bias": False},
    "lstm clip": {"clip": 0.7},
    "gru clip": {"clip": 0.7},
    "rnn clip": {"clip": 0.7},
    "lstm cell_clip": {"cell_clip": 0.3},
    "lstm peephole": {"peephole": True},
    "lstm deep peephole": {**DEEP, **BOTH, "peephole": True, "dropout": 0.3},
    "lstm coupled": {"coupled": True},
    "lstm peephole coupled": {"peephole": True, "coupled": True, "proj_size": 4, "bias": False},
    "gru reset_after": {"reset_after": False},
    "gru deep reset_after": {**DEEP, **BOTH, "reset_after": False},
    "gru minimal": {"minimal": True},
    "rnn independent": {"independent": True},
    "lstm layer_norm": {"layer_norm": True},
    "lstm layer_norm peephole projection": {**DEEP, "layer_norm": True, "peephole": True, "proj_size": 4},
    "gru layer_norm": {"layer_norm": True},
    "lstm zoneout": {"zoneout": (0.3, 0.2)},
    "gru zoneout": {"zoneout": 0.3},
    "rnn zoneout": {"zoneout": 0.3, **BOTH},
    "lstm learned_state": {"learned_state": True, "proj_size": 4},
    "gru learned_state": {**DEEP, **BOTH, "learned_state": True},
    "rnn learned_state": {"learned_state": True},
    "lstm recurrent_dropout": {"recurrent_dropout": 0.3},
    "gru recurrent_dropout": {**DEEP, **BOTH, "recurrent_dropout": 0.3},
    "rnn recurrent_dropout": {"recurrent_dropout": 0.3},
    "lstm input_dropout": {**DEEP, "input_dropout": 0.3},
    "gru input_dropout": {"input_dropout": 0.3, "recurrent_dropout": 0.2},
    "rnn input_dropout": {"input_dropout": 0.3},
    "lstm weight_dropout": {"weight_dropout": 0.3},
    "gru weight_dropout": {**DEEP, "weight_dropout": 0.3, "dropout": 0.2},
    "rnn weight_dropout": {"weight_dropout": 0.3},
    "lstm reverse": {"reverse": True},
    "gru reverse": {"reverse": True, "reset_after": False},
    "rnn reverse": {**DEEP, "reverse": True},
    "lstm merge": {**BOTH, "merge": "sum"},
    "gru merge": {**BOTH, **DEEP, "merge": "mul"},
    "rnn merge": {**BOTH, **DEEP, "merge": "ave"},
    "lstm merge of projections": {**BOTH, **DEEP, "merge": "mul", "proj_size": 3},
    "lstm connection": {"num_layers": 3, "connection": "residual"},
    "gru connection": {"num_layers": 3, "connection": "highway"},
    "rnn connection": {**DEEP, **BOTH, "connection": "highway", "dropout": 0.2},
    "lstm dilation": {"dilation": 2},
    "gru dilation": {"num_layers": 3, "dilation": (1, 2, 4)},
    "rnn dilation": {**BOTH, "dilation": 3},
    "lstm everything": {
        "num_layers": 3,
        **BOTH,
        "activations": ("hard_sigmoid", "softsign", "tanh"),
        "reverse_activations": ("sigmoid", "tanh", "softsign"),
        "clip": 2.0,
        "cell_clip": 1.5,
        "peephole": True,
        "coupled": True,
        "layer_norm": True,
        "zoneout": (0.1, 0.2),
        "learned_state": True,
        "recurrent_dropout": 0.1,
        "input_dropout": 0.1,
        "weight_dropout": 0.1,
        "merge": "sum",
        "connection": "highway",
        "dropout": 0.1,
    },
    "gru everything": {
        "num_layers": 3,
        "reset_after": False,
        "activations": ("hard_sigmoid", "softsign"),
        "reverse": True,
        "learned_state": True,
        "zoneout": 0.1,
        "connection": "residual",
        "dilation": (1, 2, 3),
    },
}

every_variant = pytest.mark.parametrize("variant", VARIANTS)

I, H = 5, 6  # noqa: E741


def make(variant: str, dtype: Any = np.float64, **more: Any) -> Any:
    """A layer of a variant, whose learned states and gains are not what they are at first."""
    sizes = {"input_size": I, "hidden_size": H, **more}
    layer = LAYERS[variant.split()[0]](dtype=dtype, rng=0, **VARIANTS[variant], **sizes)
    rng = np.random.default_rng(3)
    for name, array in layer.params.items():
        if name.startswith(("initial", "gain", "shift", "weight_ch")):
            array += 0.3 * rng.standard_normal(array.shape).astype(dtype)
    return layer


def option(variant: str, name: str, default: Any) -> Any:
    return VARIANTS[variant].get(name, default)


def is_random(variant: str) -> bool:
    """Whether a recording draws masks."""
    return any(option(variant, name, 0.0) for name in (*RANDOM, "dropout"))


def is_dilated(variant: str) -> bool:
    return option(variant, "dilation", 1) != 1


def runs_forward_only(variant: str) -> bool:
    return not option(variant, "bidirectional", False) and not option(variant, "reverse", False)


def those(condition: Any) -> Any:
    """A decorator: for every variant for which this holds."""
    return pytest.mark.parametrize("variant", [name for name in VARIANTS if condition(name)])


without_dilation = those(lambda name: not is_dilated(name))
stepped = those(lambda name: not is_dilated(name) and runs_forward_only(name))
"""Those that have streams."""


def require_engine(layer: Any) -> None:
    """Skip where the call of this layer runs in NumPy, whose products have other bits in another batch."""
    plain = isinstance(layer._network, _core.Network) or layer._network.spec.plain_cell
    if not plain and not hasattr(_core, "StagedLayer"):
        pytest.skip("the compiled core has no StagedLayer: NumPy's products have other bits in another batch")
