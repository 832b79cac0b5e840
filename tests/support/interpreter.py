"""A fresh Python: for what needs a process of its own, and for the command line and the installation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import os, sys
import numpy as np
import fusedrnn as fr
from problems import Problem, check_all_same_bits, check_same_bits, forward, record, teams
threads = lambda: len(os.listdir("/proc/self/task"))
"""
ONE_THREAD_OF_OTHERS = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""So that the threads that are counted are ours."""

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")


def python(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it on this one's path, without the settings that fusedrnn reads from the environment but those given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("FUSEDRNN_") and name != "OMP_NUM_THREADS"
    }
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=cwd,
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def run(code: str) -> str:
    """Run PRELUDE and this code, where a warning is an error, and return what they print. They must end well."""
    result = python("-W", "error", "-c", PRELUDE + code, **ONE_THREAD_OF_OTHERS)
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stderr}"
    return result.stdout
