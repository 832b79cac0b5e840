"""One implementation of the job in a process of its own: python -m fusedrnn.bench.job.worker NAME CELL THREADS.

THREADS is a number, or "default": the library's own choice. For each line of its input, a number of seconds, it trains
for so long and answers with a line of JSON: characters a second, and the part of the time within the recurrent layer.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

from fusedrnn.bench.job import char_lm


def main(name: str, cell: str, threads: str) -> None:
    """Answer until the input ends."""
    if threads != "default" and name == "torch":
        importlib.import_module("torch").set_num_threads(int(threads))
    elif threads != "default":
        import fusedrnn

        fusedrnn.set_num_threads(int(threads))
    job = char_lm.IMPLEMENTATIONS[name](cell)
    for _ in range(3):
        job.step()
    for line in sys.stdin:
        seconds, steps, before = float(line), 0, job.recurrent_seconds
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            job.step()
            steps += 1
        share = (job.recurrent_seconds - before) / passed
        print(json.dumps({"speed": steps * char_lm.CHARACTERS / passed, "recurrent": share}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
