"""Docstrings: what several functions say of an argument is written here once and filled into each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

LENGTHS_AND_RESET = """\
lengths: B integers in [0, T], in any order: row b ends after lengths[b] steps, and a reverse direction
    begins there. y beyond a row's end is zero, and its final state is that after its last step.
    Not with an unbatched x.
reset: bool, (T, B), (B, T) with batch_first, unbatched (T,): true at the first step of each episode.
    There the carried state is zeroed; a reverse direction's is zeroed where it leaves that step for the
    one before. So episodes packed end to end give what they give alone, in both directions. A row begins
    with its initial state unless its first step is marked; its reverse direction always does."""
MASK = """\
mask: bool, laid out as reset, with any holes: where it is false, x is not read and the row's state is held.
    Not with lengths. A reset at a held step is one at the row's next valid step.
held: y at held steps: "repeat", each direction's last output, zero before its first; or "zero"."""
RETURN_LAYERS = """\
return_layers: also return every layer's y, before dropout, as a list; the last is y."""

OPTIONS = """\
reverse: the one direction runs from the last step to the first; parameters have the plain names.
merge: "concat", "sum", "mul" or "ave" of two directions, after every layer; y is (T, B, P) but with "concat".
clip: a bound on every pre-activation (ONNX); None for none.
layer_norm: normalise the products and, of an LSTM, c (Ba et al. 2016). Not with an RNN.
learned_state: the initial state is a parameter, used where none is given, after every reset and in streams.
zoneout: probability with which a unit keeps its old h (Krueger et al. 2016); of an LSTM also a pair, for h and c.
    A call takes the expectation.
recurrent_dropout: probability with which `record` drops a unit of the h that W_hh reads, the same at all steps.
input_dropout: probability with which `record` drops a feature of each layer's x, the same at all steps.
weight_dropout: probability with which `record` drops an element of W_hh (Merity et al. 2017).
connection: around every layer but the first: "residual", or "highway" (Srivastava et al. 2015).
dilation: d, or one for each layer: the state at t comes from t - d (Chang et al. 2017). With d > 1 there is no
    `state`, no truncation and no stream."""
ACTIVATIONS = """\
sigmoid, tanh, relu, leaky_relu, identity, affine, thresholded_relu, scaled_tanh, hard_sigmoid, elu, softsign
or softplus; or (name, alpha) or (name, alpha, beta) with constants of its own."""
NEW_PARAMETERS = """\
`initial_h_l{k}` (P,) and, of an LSTM, `initial_c_l{k}` (H,), with learned_state; after a layer's directions
`weight_highway_l{k}`, `bias_highway_l{k}`, with a highway."""

TEXTS = {
    "{lengths and reset}": LENGTHS_AND_RESET,
    "{mask}": MASK,
    "{return_layers}": RETURN_LAYERS,
    "{options}": OPTIONS,
    "{activations}": ACTIVATIONS,
    "{new parameters}": NEW_PARAMETERS,
}
"""What stands in a docstring, and what it becomes."""


def with_shared_text(function: F) -> F:
    """A decorator: every line of the docstring that is a key of `TEXTS` becomes that text, as deep as it is."""
    for place, text in TEXTS.items():
        if function.__doc__ is not None and place in function.__doc__:  # python -OO has none
            before, _, after = function.__doc__.partition(place)
            indent = before.rpartition("\n")[2]
            function.__doc__ = before + text.replace("\n", "\n" + indent) + after
    return function
