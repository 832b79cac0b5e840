"""`python -m fusedrnn bench`: fusedrnn beside its peers, and beside what the machine can do.

Not imported by `import fusedrnn`. One file per idea:

* ``shapes``: the named shapes, the one list of them (``benchmarks/`` uses it too);
* ``problem``: one piece of work: its data, what the result must be, and whether a result is that;
* ``implementations``: one file per peer, which sets it up the fastest fair way or says why not;
* ``worker``: the process in which one implementation runs, its threads set before anything is imported;
* ``remote``: an object in another process, whose methods can be asked for;
* ``timing``: calibration, alternating rounds, medians;
* ``roofline``: the time no program can beat, from ceilings measured in the same rounds;
* ``session``: the run itself;
* ``results``: the rows that come out, ``report`` and ``plot`` what is shown of them;
* ``machine``: what must be said about where the figures come from; ``cli``: the arguments;
* ``beside``: default threads against one thread while other work runs (``--beside``);
* ``job``: a whole training job beside the same one in PyTorch (``--job``).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m fusedrnn bench` with these arguments; an exit code."""
    from fusedrnn.bench.cli import main as run

    return run(argv)
