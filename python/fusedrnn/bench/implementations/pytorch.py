"""PyTorch: torch.nn.LSTM, GRU and RNN in eager mode (LSTM inference goes to oneDNN).

Inference under `inference_mode`; training with `autograd.grad`, which unlike `backward` adds nothing up. A ragged
batch is tried packed and, with one direction, padded with the padding cleared afterwards; a step is tried as a
sequence of one and as a cell.
"""

from __future__ import annotations

from typing import Any

from fusedrnn.bench.implementations import Candidate, require
from fusedrnn.bench.problem import Array, Problem

DISTRIBUTIONS = ("torch",)


def start(threads: int) -> None:
    torch = require("torch")
    torch.set_num_threads(threads)


def prepare(problem: Problem, threads: int) -> dict[str, Candidate]:
    if problem.mode == "step":
        return _step(problem)
    layer, x = _layer(problem), _tensor(problem.x)
    if problem.lengths is None:
        return {"nn": _candidate(problem, layer, x, layer)}
    runs = {"packed": _packed(problem, layer)}
    if problem.shape.directions == 1 and not (problem.cell == "lstm" and problem.mode == "forward"):
        runs["padded, then cleared"] = _padded(problem, layer)
    return {variant: _candidate(problem, layer, x, run) for variant, run in runs.items()}


def _tensor(values: Array) -> Any:
    return require("torch").from_numpy(values)


def _layer(problem: Problem) -> Any:
    torch, shape = require("torch"), problem.shape
    makers = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    layer = makers[problem.cell](
        shape.inputs, shape.hidden, bidirectional=shape.directions == 2, dtype=getattr(torch, problem.dtype)
    )
    layer.load_state_dict({name: _tensor(value) for name, value in problem.params.items()})
    return layer


def _candidate(problem: Problem, layer: Any, x: Any, run: Any) -> Candidate:
    """`run(x)` gives y and the final state; with or without the gradients."""
    torch = require("torch")
    if problem.mode == "forward":

        def forward() -> Any:
            with torch.inference_mode():
                return run(x)

        def outputs(out: Any) -> dict[str, Array]:
            y, state = out
            final = state if isinstance(state, tuple) else (state,)
            return problem.name_outputs(y.numpy(), [part.numpy() for part in final])

        return Candidate(forward, outputs)

    names = list(problem.params)
    parameters = dict(layer.named_parameters())
    wanted = [x.clone().requires_grad_(), *(parameters[name] for name in names)]
    dy = _tensor(problem.dy)

    def train() -> Any:
        y, _ = run(wanted[0])
        return y, torch.autograd.grad(y, wanted, dy)

    def gradients(out: Any) -> dict[str, Array]:
        y, (dx, *rest) = out
        values = dict(zip(names, (g.numpy() for g in rest), strict=True))
        return problem.name_gradients(y.detach().numpy(), dx.numpy(), values)

    return Candidate(train, gradients)


def _packed(problem: Problem, layer: Any) -> Any:
    sequences = require("torch", "torch.nn.utils.rnn")
    assert problem.lengths is not None
    lengths = _tensor(problem.lengths)

    def run(x: Any) -> Any:
        y, state = layer(sequences.pack_padded_sequence(x, lengths, enforce_sorted=False))
        return sequences.pad_packed_sequence(y)[0], state

    return run


def _padded(problem: Problem, layer: Any) -> Any:
    """The final h is y at each row's last step. A final c cannot be had this way: y has no c."""
    torch = require("torch")
    assert problem.lengths is not None
    lengths = _tensor(problem.lengths)
    steps = torch.arange(problem.shape.steps)[:, None]
    beyond, last, rows = (steps >= lengths)[:, :, None], lengths - 1, torch.arange(problem.shape.batch)

    def run(x: Any) -> Any:
        y, _ = layer(x)
        return y.masked_fill(beyond, 0), y[last, rows][None]

    return run


def _step(problem: Problem) -> dict[str, Candidate]:
    torch, shape, x = require("torch"), problem.shape, _tensor(problem.x)
    layer = _layer(problem)
    makers = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}
    cell = makers[problem.cell](shape.inputs, shape.hidden, dtype=getattr(torch, problem.dtype))
    cell.load_state_dict({name.removesuffix("_l0"): _tensor(value) for name, value in problem.params.items()})

    def sequence_of_one() -> Candidate:
        state: Any = None

        def step() -> Any:
            nonlocal state
            with torch.inference_mode():
                y, state = layer(x, state)
            return y

        return Candidate(step, lambda y: {"y": y[0].numpy()})

    def one_cell() -> Candidate:
        state: Any = None
        row = x[0]

        def step() -> Any:
            nonlocal state
            with torch.inference_mode():
                state = cell(row, state)
            return state

        return Candidate(step, lambda out: {"y": (out[0] if isinstance(out, tuple) else out).numpy()})

    return {"nn, T = 1": sequence_of_one(), "nn cell": one_cell()}
