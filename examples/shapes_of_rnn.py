"""Show the shapes of recurrent networks: which sequences and vectors go in, and which come out.

    python examples/shapes_of_rnn.py

It prints the shapes of one-to-one, one-to-many, many-to-one, many-to-many of the same and of different length, deep and
bidirectional networks, and the number of their free parameters (section 9 of docs/design/cells.md). T is time, B the
batch: four rows of seven steps with 5 inputs, 3 hidden units, and a dense output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fusedrnn as fr

T, B, INPUTS, UNITS, OUTPUTS = 7, 4, 5, 3, 1
WORD = 5
"""What a network must give that reads its own outputs: as many values as it reads."""


def head(width: int = UNITS, outputs: int = OUTPUTS) -> fr.nn.Linear:
    return fr.nn.Linear(width, outputs, rng=1)


def one_to_one(x: np.ndarray) -> tuple[Any, np.ndarray]:
    """A picture to its class: one step, so nothing is remembered."""
    model = fr.nn.Sequential(fr.RNN(INPUTS, UNITS, rng=0), head())
    y, _ = model(x[:1])
    return model, y


def one_to_many(x: np.ndarray) -> tuple[Any, np.ndarray]:
    """A picture to a caption: one input, and then each output is the next input."""
    model = fr.nn.Sequential(fr.RNN(INPUTS, UNITS, rng=0), head(outputs=WORD))
    words, state = [x[:1]], None
    for _ in range(T):
        word, state = model(words[-1], state)
        words.append(word)
    return model, np.concatenate(words[1:])


def many_to_one(x: np.ndarray) -> tuple[Any, np.ndarray]:
    """A sentence to its sentiment: what counts is the state after the last step."""
    model = fr.nn.Sequential(fr.RNN(INPUTS, UNITS, rng=0), fr.nn.LastStep(), head())
    y, _ = model(x)
    return model, y


def many_to_many(x: np.ndarray) -> tuple[Any, np.ndarray]:
    """A sentence to the tags of its words: an output at every step."""
    model = fr.nn.Sequential(fr.RNN(INPUTS, UNITS, rng=0), head())
    y, _ = model(x)
    return model, y


def many_to_many_of_another_length(x: np.ndarray) -> tuple[Any, np.ndarray]:
    """A sentence to its translation: one network reads, another begins with its state and writes 10 words."""
    encoder = fr.nn.Sequential(fr.RNN(INPUTS, UNITS, rng=0))
    decoder = fr.nn.Sequential(fr.RNN(WORD, UNITS, rng=2), head(outputs=WORD))
    _, state = encoder(x)
    y, _ = decoder(np.zeros((10, B, WORD), np.float32), state)
    return (encoder, decoder), y


def deep(x: np.ndarray) -> tuple[Any, np.ndarray]:
    """Three layers, each reading the outputs of the one below (equation D2)."""
    model = fr.nn.Sequential(fr.RNN(INPUTS, UNITS, num_layers=3, rng=0), head())
    y, _ = model(x)
    return model, y


def bidirectional(x: np.ndarray) -> tuple[Any, np.ndarray]:
    """A second network reads from the end: every output has seen the whole sentence (equation D1)."""
    model = fr.nn.Sequential(fr.RNN(INPUTS, UNITS, bidirectional=True, rng=0), head(2 * UNITS))
    y, _ = model(x)
    return model, y


KINDS = (one_to_one, one_to_many, many_to_one, many_to_many, many_to_many_of_another_length, deep, bidirectional)


def run(seed: int = 0) -> dict[str, Any]:
    """The shape of the output and the number of parameters of every kind."""
    x = np.random.default_rng(seed).standard_normal((T, B, INPUTS)).astype(np.float32)
    shapes, params = {}, {}
    for kind in KINDS:
        models, y = kind(x)
        shapes[kind.__name__] = y.shape
        params[kind.__name__] = sum(m.num_params for m in (models if isinstance(models, tuple) else (models,)))
    return {
        "metric": "parameters of a simple RNN",
        "value": params["many_to_one"],
        "baseline": UNITS * INPUTS + UNITS * UNITS + UNITS + (UNITS * OUTPUTS + OUTPUTS),
        "shapes": shapes,
        "params": params,
    }


def main() -> None:
    found = run()
    print(f"input: (T, B, I) = {(T, B, INPUTS)}\n")
    for kind in KINDS:
        name = kind.__name__.replace("_", "-").replace("many-of", "many of").replace("-another-", " another ")
        print(f"{name:33} {found['shapes'][kind.__name__]!s:11} {found['params'][kind.__name__]:4} parameters")
        print(f"  {kind.__doc__}")
    print(f"\nA simple RNN of {INPUTS} inputs and {UNITS} units with a dense output of {OUTPUTS}:")
    print(f"  W_ih {UNITS}·{INPUTS} = {UNITS * INPUTS}, W_hh {UNITS}·{UNITS} = {UNITS * UNITS}, b {UNITS}", end="")
    print(f" (b_ih + b_hh, which only appear as a sum: N1), dense {UNITS}·{OUTPUTS} + {OUTPUTS} = {UNITS + 1}:")
    print(f"  {found['value']} parameters, by hand {found['baseline']}")


if __name__ == "__main__":
    main()
