"""JAX on the CPU: the input projected in one product, then a jitted `lax.scan`; gradients by `vjp`, jitted as one.

Its thread pool is as large as the CPUs the process may use: the worker sets affinity, NPROC and XLA_FLAGS before it is
imported. The loop is tried plain and unrolled.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fusedrnn.bench.implementations import Candidate, UnavailableError, require
from fusedrnn.bench.problem import Problem

DISTRIBUTIONS = ("jax", "jaxlib")

UNROLLED = 8


def start(threads: int) -> None:
    require("jax")


def prepare(problem: Problem, threads: int) -> dict[str, Candidate]:
    jax = require("jax")
    if problem.lengths is not None and problem.shape.directions == 2:
        raise UnavailableError("no set-up for ragged batches in two directions")
    if problem.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if problem.mode == "step":
        return {"jit": _step(problem)}
    make = _train if problem.mode == "train" else _forward
    variants = {"scan": 1} | ({"scan, unrolled": UNROLLED} if problem.shape.steps > UNROLLED else {})
    return {variant: make(problem, unroll) for variant, unroll in variants.items()}


def _lstm(weight: Any, bias: Any, carry: Any, pre_x: Any) -> Any:
    jax, jnp = require("jax"), require("jax", "jax.numpy")
    h, c = carry
    i, f, g, o = jnp.split(pre_x + h @ weight.T + bias, 4, axis=1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru(weight: Any, bias: Any, carry: Any, pre_x: Any) -> Any:
    jax, jnp = require("jax"), require("jax", "jax.numpy")
    (h,) = carry
    x_r, x_z, x_n = jnp.split(pre_x, 3, axis=1)
    h_r, h_z, h_n = jnp.split(h @ weight.T + bias, 3, axis=1)
    z = jax.nn.sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * h,)


def _rnn(weight: Any, bias: Any, carry: Any, pre_x: Any) -> Any:
    (h,) = carry
    return (require("jax", "jax.numpy").tanh(pre_x + h @ weight.T + bias),)


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


def _zeros(problem: Problem) -> Any:
    jnp = require("jax", "jax.numpy")
    size = (problem.shape.batch, problem.shape.hidden)
    return tuple(jnp.zeros(size, problem.dtype) for _ in range(2 if problem.cell == "lstm" else 1))


def _run(problem: Problem, unroll: int, params: Any, x: Any) -> Any:
    """y and the final state, (D, B, H) each."""
    lax, jnp = require("jax", "jax.lax"), require("jax", "jax.numpy")
    step, lengths = _CELLS[problem.cell], problem.lengths
    directions = []
    for suffix in problem.suffixes:
        w_ih, w_hh, b_ih, b_hh = (params[f"{name}_l0{suffix}"] for name in _NAMES)
        pre_x = (x.reshape(-1, x.shape[2]) @ w_ih.T + b_ih).reshape(*x.shape[:2], -1)

        if lengths is None:

            def body(carry: Any, pre: Any, w_hh: Any = w_hh, b_hh: Any = b_hh) -> Any:
                after = step(w_hh, b_hh, carry, pre)
                return after, after[0]

            steps: Any = pre_x
        else:
            alive = jnp.asarray(np.arange(x.shape[0])[:, None, None] < lengths[:, None])

            def body(carry: Any, pre: Any, w_hh: Any = w_hh, b_hh: Any = b_hh) -> Any:
                pre, runs = pre
                after = step(w_hh, b_hh, carry, pre)
                kept = tuple(jnp.where(runs, new, old) for new, old in zip(after, carry, strict=True))
                return kept, jnp.where(runs, after[0], 0)

            steps = (pre_x, alive)
        directions.append(lax.scan(body, _zeros(problem), steps, unroll=unroll, reverse=suffix == "_reverse"))
    y = jnp.concatenate([outputs for _, outputs in directions], axis=2)
    return y, tuple(jnp.stack(parts) for parts in zip(*(state for state, _ in directions), strict=True))


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _arguments(problem: Problem) -> Any:
    jax = require("jax")
    return jax.device_put(problem.params), jax.device_put(problem.x)


def _forward(problem: Problem, unroll: int) -> Candidate:
    jax = require("jax")
    run, (params, x) = jax.jit(partial(_run, problem, unroll)), _arguments(problem)
    return Candidate(
        lambda: jax.block_until_ready(run(params, x)),
        lambda out: problem.name_outputs(np.asarray(out[0]), [np.asarray(part) for part in out[1]]),
    )


def _train(problem: Problem, unroll: int) -> Candidate:
    jax = require("jax")

    def gradients(params: Any, x: Any, dy: Any) -> Any:
        y, backward = jax.vjp(lambda p, v: _run(problem, unroll, p, v)[0], params, x)
        return y, *backward(dy)

    run, (params, x), dy = jax.jit(gradients), _arguments(problem), jax.device_put(problem.dy)

    def arrays(out: Any) -> Any:
        y, by_name, dx = out
        values = {name: np.asarray(by_name[name]) for name in problem.params}
        return problem.name_gradients(np.asarray(y), np.asarray(dx), values)

    return Candidate(lambda: jax.block_until_ready(run(params, x, dy)), arrays)


def _step(problem: Problem) -> Candidate:
    jax = require("jax")
    params, x = _arguments(problem)

    def advance(params: Any, x: Any, carry: Any) -> Any:
        w_ih, w_hh, b_ih, b_hh = (params[f"{name}_l0"] for name in _NAMES)
        return _CELLS[problem.cell](w_hh, b_hh, carry, x @ w_ih.T + b_ih)

    run, row, carry = jax.jit(advance), x[0], _zeros(problem)

    def step() -> Any:
        nonlocal carry
        carry = jax.block_until_ready(run(params, row, carry))
        return carry[0]

    return Candidate(step, lambda y: {"y": np.asarray(y)})
