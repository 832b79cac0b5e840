"""A fresh Python, as tests of the command line and of the installation start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


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
