"""The program of the README that needs PyTorch runs and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

from interpreter import python
from torch_there import torch

README = Path(__file__).parents[2] / "README.md"


def test_the_program_of_the_readme() -> None:
    programs = re.findall(r"^<!-- needs torch -->\n```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert torch.__version__
    assert len(programs) == 1
    result = python("-W", "error", "-c", programs[0])
    assert result.returncode == 0, result.stderr
    assert result.stdout == "0: on fusedrnn\n"
