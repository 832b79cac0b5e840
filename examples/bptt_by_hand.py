"""Backpropagation through time by hand: the sentence "cat mat rat" through a simple RNN, every term printed.

    python examples/bptt_by_hand.py

Three one-hot words go into an RNN of two tanh units, many-to-one: ŷ says how likely the sentence is a rhyme, and it is
one. The program prints h_1, h_2, h_3, ŷ and the loss; then, for each of W_o, W_h and W_i, the term of every step in the
gradient, and their sum. The same sums come from `fr.gradient_flow`, from the kernels, and from finite differences.
Equations: (R1) to (R4) and (W1) of docs/design/cells.md; the biases are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fusedrnn as fr

Floats = NDArray[np.float64]
SENTENCE = "cat mat rat"
NAMES = {"W_o": "1.weight", "W_h": "0.weight_hh_l0", "W_i": "0.weight_ih_l0"}
"""What the field calls each matrix, and what the model does; `weight_hh_l0` is W_hh, `weight_ih_l0` is W_ih."""


def forward(W: dict[str, Floats], x: Floats) -> tuple[list[Floats], float, float]:
    """h_0 to h_3, ŷ and the loss."""
    h = [np.zeros(2)]
    for x_t in x:
        h.append(np.tanh(W["W_i"] @ x_t + W["W_h"] @ h[-1]))  # (R1), (R2)
    y = float((1 / (1 + np.exp(-W["W_o"] @ h[-1])))[0])
    return h, y, -np.log(y)


def terms_by_hand(W: dict[str, Floats], x: Floats) -> dict[str, Floats]:
    """The term of every step in ∂L/∂W_o, ∂L/∂W_h and ∂L/∂W_i: (W1) before the sum."""
    h, y, _ = forward(W, x)
    terms = {name: np.zeros((len(x), *matrix.shape)) for name, matrix in W.items()}
    d_logit = np.array([y - 1.0])  # ∂L/∂(W_o·h_3): of σ and -ln ŷ together
    terms["W_o"][-1] = np.outer(d_logit, h[-1])  # one output, at the last step
    dh = W["W_o"].T @ d_logit  # ∂L/∂h_3
    for t in reversed(range(len(x))):
        delta = dh * (1 - h[t + 1] ** 2)  # (R3)
        terms["W_h"][t] = np.outer(delta, h[t])
        terms["W_i"][t] = np.outer(delta, x[t])
        dh = W["W_h"].T @ delta  # (R4): ∂L/∂h_2, then ∂L/∂h_1
    return terms


def by_differences(loss: Callable[[], float], matrix: Floats, step: float = 1e-5) -> Floats:
    """∂loss/∂matrix from two values of the loss for each element."""
    gradient = np.zeros_like(matrix)
    for place in np.ndindex(*matrix.shape):
        before = matrix[place]
        matrix[place] = before + step
        above = loss()
        matrix[place] = before - step
        gradient[place] = (above - loss()) / (2 * step)
        matrix[place] = before
    return gradient


def run(seed: int = 1) -> dict[str, Any]:
    """All of it: `terms` by hand and from gradient_flow, `sums` from all four."""
    words = sorted(set(SENTENCE.split()))
    x = np.eye(len(words))[[words.index(word) for word in SENTENCE.split()]]
    rnn = fr.RNN(len(words), 2, bias=False, dtype="float64", rng=seed)
    dense = fr.nn.Linear(2, 1, bias=False, dtype="float64", rng=seed + 1)
    model = fr.nn.Sequential(rnn, dense)
    W = {name: model.params[theirs] for name, theirs in NAMES.items()}
    h, y, loss = forward(W, x)
    by_hand = terms_by_hand(W, x)

    dy = np.array([[0.0], [0.0], [y - 1.0]])  # only the last output has a target
    flow = fr.gradient_flow(rnn, x, dy, output=dense)
    watched = {name: flow.terms(theirs[2:] if name != "W_o" else "output.weight") for name, theirs in NAMES.items()}

    _, _, tape = model.record(x)
    kernel = tape.backward(dy).params
    _, _, tape = model.record(x)
    cut = tape.backward(dy, truncate=1).params

    sums = {}
    for name, theirs in NAMES.items():
        sums[name] = {
            "by hand": by_hand[name].sum(0),
            "gradient_flow": watched[name].sum(0),
            "kernels": kernel[theirs],
            "differences": by_differences(lambda: forward(W, x)[2], W[name]),
        }

    def error(found: Callable[[str], Floats]) -> float:
        """How far gradients are from the finite differences, the largest of the three matrices."""
        return max(float(np.abs(found(name) - sums[name]["differences"]).max()) for name in NAMES)

    return {
        "metric": "error of the gradient (baseline: of its last step's term alone)",
        "value": error(lambda name: kernel[NAMES[name]]),
        "baseline": error(lambda name: cut[NAMES[name]]),
        "words": words,
        "x": x,
        "h": h,
        "y": y,
        "loss": loss,
        "terms": {name: {"by hand": by_hand[name], "gradient_flow": watched[name]} for name in NAMES},
        "sums": sums,
        "dh": flow.h[0, 0],
    }


def show(matrix: Floats) -> str:
    return "[" + "; ".join(" ".join(f"{value + 0.0:+.5f}" for value in row) for row in np.atleast_2d(matrix)) + "]"


def main() -> None:
    found = run()
    print(f'"{SENTENCE}", one-hot over {found["words"]}\n')
    for t, (word, x_t, h_t) in enumerate(zip(SENTENCE.split(), found["x"], found["h"][1:], strict=True), 1):
        print(f"  x_{t} = {word} = {x_t.astype(int)}   h_{t} = tanh(W_i·x_{t} + W_h·h_{t - 1}) = {show(h_t)}")
    print(f"\n  ŷ = σ(W_o·h_3) = {found['y']:.6f}   L = -ln ŷ = {found['loss']:.6f}")
    print("  ‖∂L/∂h_t‖ = " + ", ".join(f"{norm:.5f} (t = {t})" for t, norm in enumerate(found["dh"], 1)))
    for name in NAMES:
        print(f"\n∂L/∂{name}: rows between semicolons")
        for t, term in enumerate(found["terms"][name]["by hand"], 1):
            print(f"  step {t:<13} {show(term)}")
        for source, gradient in found["sums"][name].items():
            print(f"  {'sum, ' + source if source == 'by hand' else source:18} {show(gradient)}")
    print(f"\nKernels against finite differences: {found['value']:.1e} at most.")
    print(f"With only the last step's term (truncated after one step) it would be {found['baseline']:.1e}.")


if __name__ == "__main__":
    main()
