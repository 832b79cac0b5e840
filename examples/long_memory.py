"""Long memory: three tasks whose answer depends on what was read long before, by length and cell.

    python examples/long_memory.py [--plot FILE] [--seed N] [--threads N] [--lengths T ...] [--steps N]

* The adding problem (Hochreiter and Schmidhuber 1997): among T random numbers two are marked; give their sum.
  Right is an answer less than 0.1 off; who always says 1 is right in 19 of 100 cases.
* The copy task (same paper; Arjovsky et al. 2016): read four symbols out of four, wait, and write them T steps later.
  Guessing gets a quarter of the symbols.
* The embedded Reber grammar: strings of a finite automaton of about T symbols; the last but one is the same as the
  second, T or P, whatever stands between. Guessing is right half of the time.

A tanh RNN, an IRNN (ReLU, identity as W_hh: Le, Jaitly and Hinton 2015), an LSTM and a GRU learn each task for the same
number of steps, 32 units each. The gates begin open for T steps (Tallec and Ollivier 2018). It prints which part of new
cases each gets right.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import fusedrnn as fr

UNITS, BATCH, TESTED = 32, 32, 512
RATES = {"RNN": 5e-3, "IRNN": 2e-3, "LSTM": 2e-2, "GRU": 2e-2}
"""The learning rate of each cell."""

# Cells


def layer(cell: str, inputs: int, length: int, seed: int) -> Any:
    """A recurrent layer; what gates keep from step to step begins at 1 - 1/τ, τ being from 2 to `length`."""
    kept = np.log(np.linspace(1, length - 1, UNITS))  # σ(ln(τ - 1)) = 1 - 1/τ
    if cell == "LSTM":
        lstm = fr.LSTM(inputs, UNITS, rng=seed)
        lstm.params["bias_ih_l0"][: 2 * UNITS] = np.concatenate([-kept, kept])  # gates i and f
        return lstm
    if cell == "GRU":
        gru = fr.GRU(inputs, UNITS, rng=seed)
        gru.params["bias_ih_l0"][UNITS : 2 * UNITS] = kept  # gate z
        return gru
    rnn = fr.RNN(inputs, UNITS, nonlinearity="relu" if cell == "IRNN" else "tanh", rng=seed)
    if cell == "IRNN":
        fr.nn.init.identity(rnn.params["weight_hh_l0"])
        rnn.params["bias_ih_l0"][:] = rnn.params["bias_hh_l0"][:] = 0
    return rnn


# Tasks: each gives a batch, builds a model, and says which part of a batch's answers is right

Batch = dict[str, Any]


def adding_batch(rng: np.random.Generator, length: int, rows: int) -> Batch:
    x = np.zeros((length, rows, 2), np.float32)
    x[..., 0] = rng.random((length, rows))
    marked = rng.integers(0, length // 2, rows), rng.integers(length // 2, length, rows)
    sums = np.zeros((rows, 1), np.float32)
    for places in marked:
        x[places, np.arange(rows), 1] = 1
        sums[:, 0] += x[places, np.arange(rows), 0]
    return {"x": x, "targets": sums}


def adding_model(recurrent: Callable[[int], Any], seed: int) -> fr.nn.Sequential:
    return fr.nn.Sequential(recurrent(2), fr.nn.LastStep(), fr.nn.Linear(UNITS, 1, rng=seed))


def adding_right(model: fr.nn.Sequential, batch: Batch) -> float:
    return float((np.abs(model(batch["x"])[0] - batch["targets"]) < 0.1).mean())


COPIED, SYMBOLS, BLANK, GO = 4, 4, 4, 5
"""How many symbols are to be copied, of how many kinds, and the two tokens after those."""


def copy_batch(rng: np.random.Generator, length: int, rows: int) -> Batch:
    x = np.full((COPIED + length, rows), BLANK)
    x[:COPIED] = rng.integers(0, SYMBOLS, (COPIED, rows))
    targets = np.full_like(x, -1)
    targets[-COPIED:] = x[:COPIED]
    x[-COPIED] = GO
    return {"x": x, "targets": targets}


def tokens_model(tokens: int, recurrent: Callable[[int], Any], seed: int) -> fr.nn.Sequential:
    head = fr.nn.Linear(UNITS, tokens, rng=seed)
    return fr.nn.Sequential(fr.nn.Embedding(tokens, 8, rng=seed), recurrent(8), head)


def copy_right(model: fr.nn.Sequential, batch: Batch) -> float:
    return float((model(batch["x"])[0].argmax(-1) == batch["targets"])[-COPIED:].mean())


REBER = {
    "start": (("T", "s"), ("P", "t")),
    "s": (("S", "s"), ("X", "x")),
    "t": (("T", "t"), ("V", "v")),
    "x": (("X", "t"), ("S", "end")),
    "v": (("P", "x"), ("V", "end")),
}
"""From each state the symbols that may follow, and where they lead."""

LETTERS = "BTPSXVE"


def reber(rng: np.random.Generator, length: int) -> str:
    """An embedded Reber string that is at most a fifth longer or shorter than `length`, and two symbols."""
    stay = 1 - 4 / length  # in s and t, where a symbol may be repeated
    while True:
        inner, state = "", "start"
        while state != "end":
            first = rng.random() < (stay if state in "st" else 0.5)
            symbol, state = REBER[state][0 if first else 1]
            inner += symbol
        if abs(len(inner) + 6 - length) <= 2 + length / 5:
            outer = "TP"[rng.integers(2)]
            return f"B{outer}B{inner}E{outer}E"


def reber_batch(rng: np.random.Generator, length: int, rows: int) -> Batch:
    strings = [reber(rng, length) for _ in range(rows)]
    lengths = np.array([len(string) - 1 for string in strings])
    whole = np.zeros((lengths.max() + 1, rows), np.int64)
    for row, string in enumerate(strings):
        whole[: len(string), row] = [LETTERS.index(letter) for letter in string]
    return {"x": whole[:-1], "targets": whole[1:], "lengths": lengths}


def reber_right(model: fr.nn.Sequential, batch: Batch) -> float:
    """Which of T and P is the likelier one where the last but one symbol is to come."""
    logits, _ = model(batch["x"], lengths=batch["lengths"])
    place = batch["lengths"] - 2, np.arange(len(batch["lengths"]))
    chosen = np.where(logits[place][:, 1] > logits[place][:, 2], 1, 2)
    return float((chosen == batch["targets"][place]).mean())


TASKS = {
    "adding problem": (adding_batch, adding_model, fr.nn.mse, adding_right, 0.19),
    "copy task": (copy_batch, partial(tokens_model, 6), partial(fr.nn.cross_entropy, ignore=-1), copy_right, 0.25),
    "embedded Reber": (reber_batch, partial(tokens_model, 7), fr.nn.cross_entropy, reber_right, 0.5),
}


def learn(task: str, cell: str, length: int, steps: int, seed: int) -> float:
    """Which part of new cases is right after the training."""
    make_batch, make_model, loss, right, _ = TASKS[task]
    model = make_model(lambda inputs: layer(cell, inputs, length, seed), seed + 1)
    optimiser = fr.optim.Adam(model.params, lr=RATES[cell])

    def batches(epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch])
        return (make_batch(rng, length, BATCH) for _ in range(steps))

    schedule = fr.optim.cosine(steps, final=0.05)
    fr.fit(model, batches, optimiser, loss, steps=steps, clip_norm=1.0, schedule=schedule, progress=False)
    return right(model, make_batch(np.random.default_rng([seed, 1]), length, TESTED))


def run(lengths: Sequence[int] = (10, 30, 60), steps: int = 800, seed: int = 0, show: bool = False) -> dict[str, Any]:
    """Which part is right, by task, cell and length."""
    right: dict[str, dict[str, list[float]]] = {}
    for task, (*_, guessing) in TASKS.items():
        if show:
            print(f"{task:16}" + "".join(f"T = {length:<5}" for length in lengths) + f"(guessing: {guessing:.2f})")
        right[task] = {}
        for cell in RATES:
            right[task][cell] = [learn(task, cell, length, steps, seed) for length in lengths]
            if show:
                print(f"  {cell:14}" + "".join(f"{part:<9.2f}" for part in right[task][cell]), flush=True)
    last = [cells["GRU"][-1] for cells in right.values()]
    return {
        "metric": f"right at T = {lengths[-1]}, mean of three tasks: GRU (baseline: guessing)",
        "value": float(np.mean(last)),
        "baseline": float(np.mean([guessing for *_, guessing in TASKS.values()])),
        "right": right,
        "lengths": lengths,
    }


def draw(found: dict[str, Any], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), dpi=120, layout="constrained")
    for axes, (task, cells) in zip(figure.subplots(1, 3, sharey=True), found["right"].items(), strict=True):
        for (cell, right), marker in zip(cells.items(), "osD^", strict=True):
            axes.plot(found["lengths"], right, marker=marker, label=cell)
        axes.axhline(TASKS[task][-1], color="#999999", linestyle=":", label="guessing")
        axes.set(title=task, xlabel="length T", ylim=(0, 1.05), ylabel="part that is right")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Three tasks of memory, by length and cell.")
    parser.add_argument("--plot", metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--lengths", type=int, nargs="+", default=(10, 30, 60), metavar="T", help="at least 10")
    parser.add_argument("--steps", type=int, default=800, help="updates for each (default 800)")
    options = parser.parse_args(argv)
    if min(options.lengths) < 10 or options.steps < 1:
        parser.error("--lengths: expected lengths of at least 10, --steps: at least 1")
    if options.threads is not None:
        fr.set_num_threads(options.threads)
    found = run(options.lengths, options.steps, options.seed, show=True)
    print(f"\n{found['metric']}: {found['value']:.2f} against {found['baseline']:.2f}")
    if options.plot:
        draw(found, options.plot)
        print(f"picture: {options.plot}")


if __name__ == "__main__":
    main()
