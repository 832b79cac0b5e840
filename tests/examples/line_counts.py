"""Counts the lines of code of a job: of some definitions of a file, and of all that they use in it."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def imported_from(path: Path, module: str) -> set[str]:
    """The names that a file imports from a module."""
    return {
        alias.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }


def lines_of_code(path: Path, roots: tuple[str, ...], shared: set[str]) -> dict[str, int]:
    """The lines of code of each definition at the top of the file that the roots reach without those in `shared`."""
    source = path.read_text(encoding="utf-8")
    definitions = dict(_definitions(ast.parse(source)))
    missing = [name for name in roots if name not in definitions]
    assert not missing, f"{path}: no {', '.join(missing)}"
    reached: list[str] = []
    waiting = list(roots)
    while waiting:
        name = waiting.pop(0)
        if name in definitions and name not in reached and name not in shared:
            reached.append(name)
            waiting += [node.id for node in ast.walk(definitions[name]) if isinstance(node, ast.Name)]
    code, counts = _lines_with_code(source), {}
    for name in reached:
        counts[name] = len(code & _span(definitions[name]))
        code -= _span(definitions[name])  # one statement may define several names
    return counts


def _definitions(module: ast.Module) -> list[tuple[str, ast.stmt]]:
    found: list[tuple[str, ast.stmt]] = []
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append((node.name, node))
        elif isinstance(node, ast.Assign):
            found += [(n.id, node) for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append((node.target.id, node))
    return found


def _span(node: ast.stmt) -> set[int]:
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    assert node.end_lineno is not None
    return set(range(first, node.end_lineno + 1))


def _lines_with_code(source: str) -> set[int]:
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):  # a string that is a statement by itself is a docstring
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= _span(node)
    return lines
