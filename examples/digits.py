"""Handwritten digits read row by row: a sequence of 8 steps of 8 pixels, to one of ten classes.

    python examples/digits.py [--seed N] [--threads N]

The 1,797 digits of 8 × 8 pixels ship with scikit-learn; every fourth is held out. An LSTM in both directions reads the
rows one by one, and a linear layer says which digit it was (many-to-one). The baseline is scikit-learn's logistic
regression on all 64 pixels at once, on the same split. (With so few pixels the nearest neighbour among the training
digits, printed too, is hard to beat.) At the end it draws the digits of which the network is least sure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import fusedrnn as fr

UNITS, BATCH = 48, 32
SHADES = " .:-=+*#@"


def run(epochs: int = 40, seed: int = 0, progress: bool = False) -> dict[str, Any]:
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16).astype(np.float32)  # (number, row = step, column)
    held_out = np.arange(len(images)) % 4 == 3
    train, test = images[~held_out], images[held_out]
    train_labels, test_labels = labels[~held_out], labels[held_out]

    lstm = fr.LSTM(8, UNITS, bidirectional=True, batch_first=True, rng=seed)
    last = fr.nn.LastStep(bidirectional=True, batch_first=True)
    model = fr.nn.Sequential(lstm, last, fr.nn.Dropout(0.5, rng=seed), fr.nn.Linear(2 * UNITS, 10, rng=seed + 1))

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.random.default_rng([seed, epoch]).permutation(len(train))
        return ((train[rows], train_labels[rows]) for rows in np.array_split(order, len(train) // BATCH))

    steps = epochs * (len(train) // BATCH)
    optimiser = fr.optim.AdamW(model.params, lr=5e-3)
    fr.fit(model, batches, optimiser, epochs=epochs, schedule=fr.optim.cosine(steps), progress=progress)

    logits, _ = model(test)
    flat = train.reshape(len(train), 64), test.reshape(len(test), 64)
    baselines = {
        "logistic regression": LogisticRegression(max_iter=1000).fit(flat[0], train_labels),
        "nearest neighbour": KNeighborsClassifier(1).fit(flat[0], train_labels),
    }
    scores = {name: float(baseline.score(flat[1], test_labels)) for name, baseline in baselines.items()}
    return {
        "metric": "held-out digits right: LSTM (baseline: logistic regression)",
        "value": float((logits.argmax(-1) == test_labels).mean()),
        "baseline": scores["logistic regression"],
        "baselines": scores,
        "test": test,
        "labels": test_labels,
        "logits": logits,
        "model": model,
    }


def unsure(found: dict[str, Any], count: int = 5) -> str:
    """Side by side, the digits for which the two best classes are closest."""
    best = np.sort(found["logits"])[:, ::-1]
    chosen = np.argsort(best[:, 0] - best[:, 1], kind="stable")[:count]
    said = found["logits"].argmax(-1)
    lines = ["   ".join(f"{'is ' + str(found['labels'][i]) + ', said ' + str(said[i]):16}" for i in chosen)]
    for row in range(8):
        pixels = (found["test"][chosen, row] * (len(SHADES) - 1)).round().astype(int)
        lines.append("   ".join("".join(2 * SHADES[shade] for shade in digit) for digit in pixels))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Digits read row by row.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(argv)
    if options.threads is not None:
        fr.set_num_threads(options.threads)
    found = run(seed=options.seed, progress=True)
    print(found["model"])
    print(f"\nheld-out digits right, of {len(found['labels'])}:")
    for name, score in {"LSTM, row by row": found["value"], **found["baselines"]}.items():
        print(f"  {name:20} {score:.1%}")
    print(f"\nleast sure of:\n{unsure(found)}")


if __name__ == "__main__":
    main()
