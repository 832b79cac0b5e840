"""How many characters a second PyTorch trains the model of `char_lm.py` at, which runs this in a process of its own.

    python examples/char_torch.py '{"cell": "gru", "hidden": 256, ...}'

The same model, optimiser, clipping, dropout, batch and carried state; the characters are random, for the speed does not
depend on what they say. It trains for "seconds" on one thread, and on "threads" threads.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch


def speed(options: dict[str, Any], threads: int) -> float:
    """Characters a second, after a few steps to warm up."""
    torch.set_num_threads(threads)
    tokens, hidden, layers, dropout = (options[name] for name in ("tokens", "hidden", "layers", "dropout"))
    batch, bptt, width = options["batch"], options["bptt"], options["embedding_size"] or tokens
    embedding = torch.nn.Embedding(tokens, width)
    if not options["embedding_size"]:
        embedding = torch.nn.Embedding.from_pretrained(torch.eye(tokens))
    cell = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[options["cell"]]
    rnn = cell(width, hidden, layers, dropout=dropout if layers > 1 else 0.0)
    drop, output = torch.nn.Dropout(dropout), torch.nn.Linear(hidden, tokens)
    params = [p for part in (embedding, rnn, output) for p in part.parameters() if p.requires_grad]
    adam = torch.optim.Adam(params, lr=1e-3, betas=(0.9, 0.99))
    text, state = torch.randint(tokens, (bptt + 1, batch)), None

    steps, warm_up, began = 0, 3, 0.0
    while steps <= warm_up or time.perf_counter() - began < options["seconds"]:
        if steps == warm_up:
            began = time.perf_counter()
        y, state = rnn(embedding(text[:-1]), state)
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
        loss = torch.nn.functional.cross_entropy(output(drop(y)).flatten(0, 1), text[1:].flatten())
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, options["clip"])
        adam.step()
        steps += 1
    return (steps - warm_up) * batch * bptt / (time.perf_counter() - began)


def main() -> None:
    """Print the best of the speeds on 1 thread and on as many as fusedrnn used."""
    options = json.loads(sys.argv[1])
    speeds = {threads: speed(options, threads) for threads in {1, options["threads"]}}
    best = max(speeds, key=lambda threads: speeds[threads])
    print(json.dumps({"version": torch.__version__, "threads": best, "speed": speeds[best]}))


if __name__ == "__main__":
    main()
