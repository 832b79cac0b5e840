"""Each of five jobs takes no more lines with fusedrnn than the same job in PyTorch.

`tests/examples/pytorch/` has the jobs as users of PyTorch write them. Counted is the model, its training and its use:
the definitions named below, and all that they use in the same file. What a twin imports from the example (the data,
the scores) is shared by both and counts in neither, and neither do baselines, printing, plots and the command line,
since no model uses them. A line counts when there is code on it: not an empty line, a comment, a docstring or an
import at the top of the file. Lines have at most 120 columns on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from line_counts import imported_from, lines_of_code

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TWINS = Path(__file__).resolve().parent / "pytorch"


@dataclass(frozen=True)
class Job:
    """A job, its file in both folders, and which definitions do it."""

    name: str
    file: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


JOBS = (
    Job("forecast", "forecast.py", ("Forecaster",), ("Forecaster",)),
    Job("recurrent policy", "policy.py", ("Policy",), ("Policy",)),
    Job("sentiment", "sentiment.py", ("Judge",), ("Judge",)),
    Job("encoder-decoder", "translate.py", ("Translator",), ("Translator",)),
    Job("tagger", "tagging.py", ("make_model", "train", "tag"), ("Tagger", "train", "tag")),
    Job("tagger from a state_dict", "tagging.py", ("from_torch", "tag"), ("from_state", "tag")),
)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_no_more_lines_than_pytorch(job: Job) -> None:
    example, twin = EXAMPLES / job.file, TWINS / job.file
    if not example.exists():
        pytest.skip(f"there is no {example.name}")
    shared = imported_from(twin, example.stem)
    ours = lines_of_code(example, job.ours, shared)
    theirs = lines_of_code(twin, job.theirs, shared)
    print(f"{job.name}: {sum(ours.values())} {ours}, in PyTorch {sum(theirs.values())} {theirs}")
    assert 0 < sum(ours.values()) <= sum(theirs.values())


def test_what_counts(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        '"""Docs."""\n\nimport os\nfrom data import CASES\n\nSIZE, SHAPE = 3, (4,)\nOTHER = 4\nMORE: int = 5\n\n\n'
        'def used(x):\n    """Docs\n    of it."""\n    # why\n'
        "    return (\n        x + SIZE + MORE + len(SHAPE)\n    )\n\n\n"
        "@os.wraps\ndef root():\n    return [used(case) for case in CASES]\n\n\ndef unused():\n    return 1\n",
        encoding="utf-8",
    )
    assert imported_from(file, "data") == {"CASES"}
    everything = lines_of_code(file, ("root",), set())
    assert set(everything) == {"root", "used", "SIZE", "SHAPE", "MORE"}
    assert sum(everything.values()) == 3 + 4 + 1 + 1
    assert lines_of_code(file, ("root",), {"SIZE", "SHAPE", "MORE"}) == {"root": 3, "used": 4}
