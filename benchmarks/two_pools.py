"""Two thread pools by turns: a matrix product of PyTorch, then an accelerated LSTM, and so on.

    pip install '.[torch]'
    python benchmarks/two_pools.py [--threads N ...] [--rounds N] [--json FILE]

What alternating costs: the time of CALLS turns over that of CALLS products and of CALLS layers, each by themselves.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import Any

import torch

from accelerated import Comparison, options, seconds
from fusedrnn.torch import accelerate

CALLS = 20


def main(argv: Sequence[str] | None = None) -> None:
    comparison = Comparison(options(__doc__, "two_pools.py", argv), [])
    a, x, lstm = torch.randn(1000, 1000), torch.randn(32, 16, 256), torch.nn.LSTM(256, 256)
    accelerate(lstm)

    def product() -> None:
        a @ a

    def turn() -> None:
        product()
        lstm(x)

    def repeated(call: Any) -> float:
        return seconds(lambda: [call() for _ in range(CALLS)])

    for threads in comparison.threads():
        with torch.inference_mode():
            turn()
            rounds = [
                [repeated(call) for call in (product, lambda: lstm(x), turn)] for _ in range(comparison.chosen.rounds)
            ]
        ratios = [(first + second) / both for first, second, both in rounds]
        first, second, both = (1e3 / CALLS * statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"{threads} threads: product {first:.2f} ms, LSTM {second:.2f} ms, by turns {both:.2f} ms together")
        print(f"  alone over by turns: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
        row = {"model": "1000×1000 product and LSTM 16×32×256×256", "what": "by turns", "threads": threads}
        comparison.rows.append(row | {"ratios": ratios})
    comparison.write()


if __name__ == "__main__":
    sys.exit(main())
