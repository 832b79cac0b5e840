"""Parity with PyTorch, an oracle that nobody here wrote: values and gradients, and parameters that move over.

Without torch these tests are skipped, except under CI, which installs it: there a missing torch is a failure.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
import pytest

from kinds import CELLS, KINDS, LAYERS, every_dtype, options_of
from problems import Arrays, Problem, check_all_same_bits, covering, parts, record
from tolerances import check_same_numbers

if os.environ.get("CI"):
    import torch
else:
    torch = pytest.importorskip("torch", reason="torch is not installed: no parity with it is shown")

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

KINDS_OF_TORCH = [kind for kind in KINDS if kind not in ("rnn sigmoid", "rnn leaky_relu", "rnn identity")]

# torch has no reset, no c of every step and no truncation; ragged rows go through PackedSequence.
PROBLEMS = [
    *covering(
        {
            "kind": KINDS_OF_TORCH,
            "steps": (1, 2, 3, 9, 30),
            "batch": (1, 3, 7, 25),
            "inputs": (1, 5, 16, 33),
            "hidden": (2, 15, 16, 17, 33, 65),
            "layers": (1, 2, 3),
            "bidirectional": (False, True),
            "bias": (True, False),
            "layout": ("time first", "batch first", "unbatched"),
            "lengths": ("none", "ragged"),
            "state": (True, False),
            "gradient": ("both", "y", "state", "one part"),
        }
    ),
    *(Problem(kind, steps=3, batch=7, inputs=5, hidden=129, bidirectional=True) for kind in KINDS_OF_TORCH),
    *(Problem(kind, steps=200, batch=2, inputs=5, hidden=17) for kind in KINDS_OF_TORCH),
]


def tensor(array: np.ndarray | None, grad: bool = False) -> Any:
    return None if array is None else torch.tensor(array, requires_grad=grad)


def torch_class(ours: Any) -> Any:
    """The class of torch.nn that has the same name."""
    return getattr(torch.nn, ours.__name__)


def torch_layer(problem: Problem, dtype: Any) -> Any:
    """torch's layer with the problem's parameters: their names and shapes are ours."""
    kind = torch.float32 if dtype is np.float32 else torch.float64
    options = problem.options() | {"dropout": 0.0}
    layer = torch_class(LAYERS[problem.cell])(problem.inputs, problem.hidden, dtype=kind, **options)
    layer.load_state_dict({name: tensor(array) for name, array in problem.params().items()})
    return layer


@cache
def torch_results(problem: Problem, dtype: Any) -> Arrays:
    """Outputs and gradients of torch, rows without steps left out: torch refuses them."""
    rows = np.flatnonzero(problem.row_lengths())
    layer = torch_layer(problem, dtype)
    batch_axis = 0 if problem.layout == "batch first" else 1
    x_array, given = problem.x(dtype), problem.arguments(dtype)["state"]
    dy_array, dstate = problem.gradients(dtype)
    if problem.lengths == "ragged":
        x_array = np.nan_to_num(np.take(x_array, rows, batch_axis))  # torch's gradient of the padding would be NaN
        dy_array = None if dy_array is None else np.nan_to_num(np.take(dy_array, rows, batch_axis))
        given = None if given is None else tuple(part[:, rows] for part in parts(given))
        dstate = None if dstate is None else [None if p is None else p[:, rows] for p in parts(dstate)]
    x = tensor(x_array, True)
    states = [tensor(part, True) for part in parts(given)] if given is not None else None
    y, last = run(problem, layer, x, states, problem.row_lengths()[rows])

    loss = torch.zeros((), dtype=x.dtype)
    if dy_array is not None:
        loss = loss + (y * tensor(dy_array)).sum()
    if dstate is not None:
        for value, part in zip(last, parts(dstate), strict=True):
            loss = loss if part is None else loss + (value * tensor(part)).sum()
    loss.backward()
    results = {"y": y, **dict(zip(("h_n", "c_n"), last, strict=False)), "d x": x.grad}
    results |= dict(zip(("d h0", "d c0"), (s.grad for s in states or ()), strict=False))
    results |= {f"d {name}": p.grad for name, p in layer.named_parameters()}
    return {name: value.detach().numpy() for name, value in results.items() if value is not None}


def run(problem: Problem, layer: Any, x: Any, states: Any, lengths: np.ndarray) -> tuple[Any, tuple[Any, ...]]:
    """y and the parts of the final state."""
    state = None if states is None else tuple(states) if problem.has_cell else states[0]
    if problem.lengths == "none":
        y, last = layer(x, state)
        return y, parts(last)
    sequence = {"batch_first": problem.layout == "batch first"}
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False, **sequence)
    y, last = layer(packed, state)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=problem.steps, **sequence)
    return y, parts(last)


@every_dtype
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_layers(problem: Problem, dtype: Any, isa: str) -> None:
    theirs = torch_results(problem, dtype)
    outputs, gradients = record(problem, problem.fused(dtype), dtype)
    ours = {**outputs, **gradients}
    rows = np.flatnonzero(problem.row_lengths())
    assert set(ours) - set(theirs) == (set() if problem.state else {"d h0", "d c0"} & set(ours))
    for name in theirs:
        array = ours[name]
        if problem.lengths == "ragged" and not name.startswith(("d weight", "d bias")):
            first = problem.layout == "batch first" and name in ("y", "d x")
            array = np.take(array, rows, 0 if first else 1)
        check_same_numbers(name, array, theirs[name])


@every_dtype
@pytest.mark.parametrize("kind", ["rnn tanh", "rnn relu", "gru", "lstm"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (1,), (7,)], ids=["unbatched", "one row", "rows"])
def test_cells(kind: str, bias: bool, rows: tuple[int, ...], dtype: Any, isa: str) -> None:
    problem = Problem(kind, inputs=5, hidden=17)
    cell, options = CELLS[problem.cell].step, options_of(kind, 17)
    theirs = torch_class(cell)(5, 17, bias, dtype=torch.float32 if dtype is np.float32 else torch.float64, **options)
    ours = cell(5, 17, bias, dtype=dtype, **options)
    ours.load_params(theirs.state_dict())
    drawn = [problem.draw(name, *rows, width).astype(dtype) for name, width in (("x", 5), ("h", 17), ("c", 17))]
    x, *states = (tensor(array, True) for array in drawn)
    given = states if problem.has_cell else states[:1]
    new = parts(theirs(x, tuple(given) if problem.has_cell else given[0]))
    dnew = [problem.draw(f"d{k}", *rows, 17).astype(dtype) for k in range(len(new))]
    sum((value * tensor(grad)).sum() for value, grad in zip(new, dnew, strict=True)).backward()

    mine, tape = ours.record(drawn[0], tuple(drawn[1:]) if problem.has_cell else drawn[1])
    gradients = tape.backward(tuple(dnew) if problem.has_cell else dnew[0])
    for name, array, value in zip(("h", "c"), parts(mine), new, strict=False):
        check_same_numbers(name, array, value.detach().numpy())
    check_same_numbers("d x", gradients.x, x.grad.numpy())
    for name, array, value in zip(("d h", "d c"), parts(gradients.state), given, strict=False):
        check_same_numbers(name, array, value.grad.numpy())
    for name, value in theirs.named_parameters():
        check_same_numbers(f"d {name}", gradients.params[name], value.grad.numpy())


@every_dtype
@pytest.mark.parametrize("kind", KINDS_OF_TORCH)
def test_parameters_go_there_and_back(kind: str, dtype: Any) -> None:
    """A state_dict loads as it is, ours loads into torch, and nothing is lost on the way."""
    problem = Problem(kind, inputs=5, hidden=17, layers=2, bidirectional=True)
    theirs = torch_class(LAYERS[problem.cell])(
        5, 17, dtype=torch.float32 if dtype is np.float32 else torch.float64, **problem.options()
    )
    ours = problem.fused(dtype)
    ours.load_params(theirs.state_dict())
    assert list(ours.params) == list(theirs.state_dict())
    check_all_same_bits(dict(ours.params), {name: value.numpy() for name, value in theirs.state_dict().items()})
    again = torch_layer(problem, dtype)
    again.load_state_dict({name: torch.from_numpy(array) for name, array in ours.params.items()})
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    x = problem.x(dtype)
    expected, _ = again(torch.from_numpy(x))
    check_same_numbers("y", ours(x)[0], expected.detach().numpy())


def test_initial_values_have_torchs_distribution() -> None:
    """Uniform within 1/sqrt(H): the same bound, and quantiles within what the number of samples allows."""
    for layer in LAYERS.values():
        module = torch_class(layer)(64, 64, num_layers=2)
        theirs = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])
        ours = np.concatenate([array.ravel() for array in layer(64, 64, num_layers=2, rng=0).params.values()])
        assert ours.size == theirs.size
        quantiles = np.linspace(0, 1, 11)
        # The Kolmogorov-Smirnov distance of two samples of n exceeds 2.5 sqrt(2/n) once in 10^5.
        allowed = 2.5 * np.sqrt(2 / ours.size) * 2 / np.sqrt(64)
        assert np.abs(np.quantile(ours, quantiles) - np.quantile(theirs, quantiles)).max() < allowed
