"""Settings of the documentation's site, which `sphinx-build -W --keep-going -b html docs build/docs` makes.

The API pages show the docstrings of the fusedrnn that is installed.
"""

from __future__ import annotations

import re
from typing import Any

import fusedrnn

project = "fusedrnn"
author = "The fusedrnn authors"
copyright = author
release = version = fusedrnn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
html_theme = "furo"
html_title = "fusedrnn"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # as GitHub makes them

maximum_signature_line_length = 100
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
autodoc_default_options = {"special-members": "__call__"}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False


def as_rest(app: Any, kind: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """The docstrings are plain text with `code`: make them the reST that napoleon and autodoc expect.

    A block that is indented after an empty line is code; elsewhere what reST would take for markup is text.
    """
    result: list[str] = []
    if kind == "property":  # napoleon would take what stands before a colon for a type
        lines[0] = lines[0].replace(": ", "; ")
    if kind == "module":  # autodoc has taken the indentation of the code for that of the docstring
        lines[:] = (value.__doc__ or "").splitlines()
    above, in_code = "", False
    for line in lines:
        if line.strip():
            indented = line.startswith("    ")
            if indented and not in_code and result and not result[-1].strip() and not above.startswith(" "):
                result += ["::", ""]
                in_code = True
            in_code = in_code and indented
            above = line
        result.append(line if in_code else escaped(line))
    lines[:] = result


def escaped(line: str) -> str:
    """Single backticks become double ones; stars, bars and final underscores lose their meaning outside of them."""
    bullet = "* " if line.startswith("* ") else ""
    parts = re.split(r"(``[^`]+``|`[^`]+`)", line.removeprefix(bullet))
    parts[1::2] = [f"``{part.strip('`')}``" for part in parts[1::2]]
    parts[::2] = [re.sub(r"[*|]|(?<=\w)_(?!\w)", r"\\\g<0>", part) for part in parts[::2]]
    return bullet + "".join(parts)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", as_rest, priority=400)  # before napoleon, which has 500
