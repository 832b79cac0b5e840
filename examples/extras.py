"""What the examples need beyond NumPy and fusedrnn, asked for kindly."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def require(module: str) -> Any:
    """Import `module`; where its package is missing, leave with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there, something it needs is not: its own message says more
        sys.exit(f"This example needs {package}. Install what the examples use with: pip install '.[examples]'")
