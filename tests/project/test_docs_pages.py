"""The site is complete: a page for each example, every public name in the API, small pictures, no machine's paths."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import fusedrnn as fr

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PICTURE_BYTES = 150_000


def pages(folder: str) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / folder).glob("*.md")}


def test_every_program_has_a_page_with_its_command() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}
    programs = {name for name, text in texts.items() if '\nif __name__ == "__main__":' in text}
    programs -= {"run_all", "char_torch"}  # these run other programs, or are run by one
    found = pages("examples")
    assert set(found) == programs | {"index"}
    for name in programs:
        assert f"\npython examples/{name}.py" in found[name]
        assert f"\n{name}\n" in found["index"]


def test_pictures_are_small_and_shown() -> None:
    text = "".join([*pages("examples").values(), *pages("guide").values()])
    for picture in [*(DOCS / "examples").glob("*.svg"), *(DOCS / "examples").glob("*.png")]:
        assert picture.stat().st_size < PICTURE_BYTES
        assert f"({picture.name})" in text


@pytest.mark.parametrize("module", [fr, fr.nn, fr.onnx, fr.optim, fr.plot, fr.reference, fr.functional])
def test_every_public_name_is_in_the_api(module: object) -> None:
    text = "".join(pages("api").values())
    single = set(re.findall(r"^\.\. auto(?:class|function):: ([\w.]+)", text, re.MULTILINE))
    whole = set(re.findall(r"^\.\. automodule:: ([\w.]+)\n   :members:", text, re.MULTILINE))
    own = module.__name__  # type: ignore[attr-defined]
    for name in getattr(module, "__all__", dir(module)):
        value = getattr(module, name)
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        assert f"{own}.{name}" in single or {own, value.__module__} & whole, f"{own}.{name} is on no page of docs/api"


def test_no_page_names_a_machine() -> None:
    for path in [DOCS / "conf.py", *DOCS.rglob("*.md")]:
        assert not re.search(r"/(?:home|work|root|tmp)/", path.read_text(encoding="utf-8")), path
