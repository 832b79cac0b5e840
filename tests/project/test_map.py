"""docs/design/map.md and the pages beside it are true: directions of includes, paths, names, lists of places."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAP = "docs/design/map.md"
PAGES = (MAP, "docs/design/kernels.md", "docs/design/threads.md", "docs/design/cells.md", "CONTRIBUTING.md")
SOURCES = (".ci", "benchmarks", "cmake", "cpp", "docs", "examples", "python", "tests")
FOLDERS_OF_INCLUDES = ("cpp", "cpp/include", "cpp/kernels")
GENERATED = {"isa_list.hpp"}  # by CMakeLists.txt
PACKAGE = "python/fusedrnn"


@cache
def files() -> frozenset[str]:
    """Every file of the project, from its root."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    found += [path for name in SOURCES for path in (ROOT / name).rglob("*") if path.is_file()]
    return frozenset(path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts)


@cache
def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def with_suffix(folder: str, *suffixes: str) -> list[str]:
    return sorted(path for path in files() if path.startswith(folder + "/") and Path(path).suffix in suffixes)


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    parts = re.split(rf"^#+ {re.escape(heading)}$", text(page), flags=re.MULTILINE)
    assert len(parts) == 2, f"{page}: expected one heading {heading!r}"
    return re.split(r"^#+ ", parts[1], flags=re.MULTILINE)[0]


def code_spans(markdown: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", markdown, flags=re.MULTILINE | re.DOTALL))


def rows(markdown: str) -> list[list[str]]:
    """The cells of a section's table, without its two lines of heading."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# Directions


@cache
def directions() -> dict[str, set[str]]:
    """The map's table: for every path what it may include or import."""
    allowed = {}
    for path, _, may in rows(section(MAP, "Folders, modules and directions")):
        assert may in ("anything", "nothing") or code_spans(may), f"{path}: expected paths, anything or nothing"
        allowed[path.strip("`")] = {may} if may in ("anything", "nothing") else set(code_spans(may))
    return allowed


def row_of(path: str) -> str:
    """The longest path of the table that a file begins with."""
    fitting = [row for row in directions() if path == row or (row.endswith("/") and path.startswith(row))]
    assert fitting, f"{MAP}: no row of the table holds {path}"
    return max(fitting, key=len)


def included(path: str) -> list[str]:
    """The files of the project that a C++ file includes."""
    found = []
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text(path), flags=re.MULTILINE):
        candidates = [(ROOT / path).parent / name, *(ROOT / folder / name for folder in FOLDERS_OF_INCLUDES)]
        existing = [candidate.resolve().relative_to(ROOT).as_posix() for candidate in candidates if candidate.is_file()]
        assert existing or name in GENERATED, f"{path} includes {name}, which is nowhere"
        found += existing[:1]
    return found


def module_file(name: str) -> str | None:
    """Where a module of the package is, or None if there is no such module."""
    stem = "python/" + name.replace(".", "/")
    return next((path for path in (f"{stem}.py", f"{stem}/__init__.py", f"{stem}.pyi") if path in files()), None)


def imported(path: str) -> list[str]:
    """The modules of the package that one of its modules imports, at its top or inside a function."""
    package = path.removeprefix("python/").split("/")[:-1]
    found: list[str | None] = []
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.Import):
            found += [module_file(alias.name) for alias in node.names if alias.name.split(".")[0] == "fusedrnn"]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join(base + ([node.module] if node.module else []))
            if name.split(".")[0] == "fusedrnn":
                found += [module_file(f"{name}.{alias.name}") or module_file(name) for alias in node.names]
    return [module for module in found if module]


def refused(path: str, targets: list[str]) -> list[str]:
    """Those of the targets that the row of `path` may not use."""
    own = row_of(path)
    may = directions()[own]
    return [] if "anything" in may else [target for target in targets if row_of(target) not in may | {own}]


def test_includes_go_the_allowed_way() -> None:
    sources = with_suffix("cpp", ".cpp", ".hpp")
    assert sum(len(included(path)) for path in sources) > 100
    wrong = {path: refused(path, included(path)) for path in sources}
    assert {path: targets for path, targets in wrong.items() if targets} == {}


def test_imports_go_the_allowed_way() -> None:
    modules = with_suffix(PACKAGE, ".py", ".pyi") + with_suffix("examples", ".py")
    assert sum(len(imported(path)) for path in modules) > 50
    wrong = {path: refused(path, imported(path)) for path in modules}
    assert {path: targets for path, targets in wrong.items() if targets} == {}


def test_no_circle() -> None:
    """What the table allows has no circle: the rows can be put in an order in which each uses only earlier ones."""
    waiting = {row: may - {"nothing"} for row, may in directions().items() if "anything" not in may}
    assert set().union(*waiting.values()) <= set(waiting), "the table allows a path that has no row"
    while waiting:
        free = {row for row, may in waiting.items() if not may & set(waiting)}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {row: may for row, may in waiting.items() if row not in free}


# The map is complete


def test_every_folder_and_module_is_in_the_map() -> None:
    folders = {Path(path).parent.as_posix() + "/" for path in with_suffix("cpp", ".cpp", ".hpp")}
    tops = {f"{name}/" for name in SOURCES if (ROOT / name).is_dir()} - {"cpp/", "python/"}
    modules = {_module_or_folder(path) for path in with_suffix(PACKAGE, ".py", ".pyi")}
    expected = folders | tops | modules
    assert expected - set(directions()) == set()


def _module_or_folder(path: str) -> str:
    """A module of the package itself, or the folder of the package that it lies in."""
    first, _, rest = path.removeprefix(f"{PACKAGE}/").partition("/")
    return f"{PACKAGE}/{first}/" if rest else path


def test_every_cpp_file_begins_with_a_comment() -> None:
    assert [path for path in with_suffix("cpp", ".cpp") if not text(path).startswith("// ")] == []


def test_a_trail_has_at_most_three_files_with_the_map() -> None:
    trails = rows(section(MAP, "Trails"))
    assert len(trails) >= 8
    for question, read, _ in trails:
        assert 1 <= len({span.partition(":")[0] for span in code_spans(read) if "." in span}) <= 2, question


def test_the_glossary_is_short() -> None:
    assert len(rows(section(MAP, "Words"))) <= 15


# Paths and names

FILE = re.compile(r"[\w./-]+\.(?:cpp|hpp|py|pyi|cmake|md|txt|toml|json|c|sh)")
NAME = re.compile(r"\w+")


def named_paths(page: str) -> list[tuple[str, str]]:
    """The paths in code spans of a page, each with the name that stands behind a colon, or an empty string."""
    found = []
    for span in code_spans(text(page)):
        path, _, name = span.partition(":")
        in_tree = path.split("/")[0] in SOURCES and "/" in path and not re.search(r"[\s<*]", path)
        if (FILE.fullmatch(path) or in_tree) and (not name or NAME.fullmatch(name)):
            found.append((path, name))
    return found


def matching(path: str) -> list[str]:
    """The files that a path means, which may leave out the folders it begins with."""
    if path in files():
        return [path]
    if any(file.startswith(path.rstrip("/") + "/") for file in files()):
        return [path]
    return [file for file in files() if file.endswith("/" + path)]


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_names_of_a_page_are_there(page: str) -> None:
    named = named_paths(page)
    assert named or page == "docs/design/cells.md"
    for path, name in named:
        if path.startswith(".ci") and not (ROOT / ".ci").is_dir():
            continue  # a source distribution has none
        found = matching(path)
        assert len(found) == 1, f"{page}: `{path}` means {found or 'no file'}"
        assert not name or re.search(rf"\b{name}\b", text(found[0])), f"{page}: {found[0]} has no {name}"


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(page)):
        if not re.match(r"\w+:", target):
            assert ((ROOT / page).parent / target).exists(), f"{page}: ({target})"


def test_the_readme_links_the_map_first() -> None:
    more = section("README.md", "More")
    assert re.findall(r"\]\(([^)]+)\)", more)[0] == MAP


# The lists of CONTRIBUTING.md


def without_comments(path: str) -> str:
    comment = r"//[^\n]*" if path.endswith((".cpp", ".hpp")) else r"#[^\n]*"
    return re.sub(comment, "", text(path))


@pytest.mark.parametrize("heading", ["A cell", "A cell option", "An instruction set", "A part"])
def test_a_list_of_places_names_files(heading: str) -> None:
    """That they are there is shown above; here, that a list has any, by their paths from the root."""
    paths = {path for path in code_spans(section("CONTRIBUTING.md", heading)) if FILE.fullmatch(path)}
    assert len(paths) >= 8
    assert paths - files() == set()


def test_every_place_that_names_an_instruction_set_is_listed() -> None:
    """A file of cpp/ or cmake/ whose code, comments aside, names an instruction set that has vectors of its own."""
    table = text("cmake/IsaTable.cmake")
    names = set(" ".join(re.findall(r"set\(FUSEDRNN_ISAS_\w+ ([\w ]+)\)", table)).split()) - {"scalar"}
    assert {"avx2", "avx512", "neon"} <= names
    pattern = re.compile(rf"(?:{'|'.join(sorted(names))})", re.IGNORECASE)
    places = {
        path
        for path in [*with_suffix("cpp", ".cpp", ".hpp", ".cmake", ".txt"), *with_suffix("cmake", ".cmake")]
        if pattern.search(without_comments(path)) or pattern.search(Path(path).stem)
    }
    assert places - set(code_spans(section("CONTRIBUTING.md", "An instruction set"))) == set()
