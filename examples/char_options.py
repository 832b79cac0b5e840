"""The command line of `char_lm.py`."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from char_model import CELLS
from fusedrnn._files import require_writable


@dataclass(frozen=True)
class Options:
    """What the command line can say, and what holds when it does not."""

    text: Path | None = None
    cell: str = "gru"
    hidden: int = 256
    layers: int = 1
    embedding_size: int = 128
    steps: int | None = 1400
    epochs: float | None = None
    seconds: float | None = None
    batch: int = 32
    bptt: int = 64
    lr: float = 0.005
    clip: float = 1.0
    dropout: float = 0.5
    seed: int = 0
    threads: int | None = None
    temperature: float = 0.5
    sample_length: int = 500
    prompt: str = "The "
    compare: tuple[str, str] = ("The string is not a number.", "The string is knot a number.")
    torch_seconds: float = 2.0
    save: Path | None = None
    load: Path | None = None
    quiet: bool = False

    @property
    def architecture(self) -> dict[str, Any]:
        """What a model is made of, its alphabet aside."""
        return {name: getattr(self, name) for name in ARCHITECTURE_OPTIONS}

    @property
    def gigabytes(self) -> float:
        """About what training needs: parameters four times (gradients, Adam's means), and what a step keeps."""
        gates = {"lstm": 4, "gru": 3}[self.cell]
        width = max(self.embedding_size, self.hidden)
        params = self.layers * gates * self.hidden * (width + self.hidden)
        kept = self.batch * self.bptt * self.layers * (2 * gates + 4) * self.hidden
        return 4 * (4 * params + kept) / 1e9


ARCHITECTURE_OPTIONS = ("cell", "hidden", "layers", "embedding_size")
TRAINING_OPTIONS = ("steps", "epochs", "seconds", "batch", "bptt", "lr", "clip", "dropout", "torch_seconds")


def number(
    kind: type[int] | type[float],
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    most: float = 2**31 - 1,
) -> Any:
    """A converter for argparse: an int or a float within these limits."""
    limits = {"of at least": least, "above": above, "below": below}
    expected = " ".join(f"{relation} {limit:g}" for relation, limit in limits.items() if math.isfinite(limit))

    def convert(word: str) -> float:
        try:
            value = kind(word)
        except ValueError:
            value = math.nan
        if most < value < math.inf:
            raise argparse.ArgumentTypeError(f"expected at most {most}, got {word[:100]!r}")
        if least <= value and above < value < below:
            return value
        raise argparse.ArgumentTypeError(
            f"expected {'an integer' if kind is int else 'a number'} {expected}, got {word[:100]!r}"
        )

    return convert


def model_file(word: str) -> Path:
    """A converter for argparse: the path of a safetensors file."""
    path = Path(word)
    if path.suffix != ".safetensors":
        raise argparse.ArgumentTypeError(f"expected a file name ending in .safetensors, got {word!r}")
    return path


def make_parser(description: str | None = None) -> argparse.ArgumentParser:
    """The options, absent from the namespace when they are not given: `Options` has their defaults."""
    parser = argparse.ArgumentParser(
        description=description,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )

    def add(group: Any, name: str, help: str, **settings: Any) -> None:
        default = getattr(Options, name.lstrip("-").replace("-", "_"))
        if default not in (None, False):
            shown = " and ".join(map(repr, default)) if isinstance(default, tuple) else default
            help += f" (default: {shown})".replace("%", "%%")
        group.add_argument(name, help=help, **settings)

    natural, count, size = number(int, least=0), number(int, least=1), number(float, above=0)
    units = number(int, least=1, most=65536)
    add(parser, "--text", "text to learn, UTF-8; without it, Python's own reference", type=Path, metavar="FILE")
    add(parser, "--seed", "of parameters, dropout and sample", type=natural, metavar="N")
    add(
        parser,
        "--threads",
        "threads of fusedrnn; the results are the same with any",
        type=number(int, least=1, most=4096),
        metavar="N",
    )
    add(parser, "--quiet", "no progress, only the results", action="store_true")

    model = parser.add_argument_group("model")
    add(model, "--cell", "recurrent cell", choices=tuple(CELLS))
    add(model, "--hidden", "units of a recurrent layer", type=units, metavar="N")
    add(model, "--layers", "recurrent layers", type=units, metavar="N")
    vector = number(int, least=0, most=65536)
    add(model, "--embedding-size", "length of a character's vector; 0: one-hot", type=vector, metavar="N")
    add(model, "--save", "keep the model: a file ending in .safetensors", type=model_file, metavar="FILE")
    add(model, "--load", "skip the training, take a saved model", type=model_file, metavar="FILE")

    training = parser.add_argument_group("training")
    length = training.add_mutually_exclusive_group()
    add(length, "--steps", "how many updates", type=count, metavar="N")
    add(length, "--epochs", "or: how many times the text is read", type=size, metavar="X")
    add(length, "--seconds", "or: how long (the result then depends on the machine)", type=size, metavar="S")
    add(training, "--batch", "readers, each at its own place in the text", type=units, metavar="N")
    add(training, "--bptt", "characters a reader reads, and gradients flow back, in a step", type=units, metavar="N")
    add(training, "--lr", "largest learning rate of Adam: a warm-up, then half a cosine down", type=size, metavar="X")
    add(training, "--clip", "largest norm of a gradient", type=size, metavar="X")
    add(training, "--dropout", "probability between layers", type=number(float, least=0, below=1), metavar="P")

    after = parser.add_argument_group("afterwards")
    add(after, "--sample-length", "characters to write", type=number(int, least=0, most=10**7), metavar="N")
    add(after, "--temperature", "1 as learned, less is safer, 0 safest", type=number(float, least=0), metavar="X")
    add(after, "--prompt", "text to go on from", metavar="TEXT")
    add(after, "--compare", "two sentences: which is likelier?", nargs=2, metavar="TEXT")
    add(
        after,
        "--torch-seconds",
        "how long PyTorch, where it is installed, trains the same model, to compare the speed; 0: not at all",
        type=number(float, least=0, most=600),
        metavar="S",
    )
    return parser


def memory_in_gigabytes() -> float:
    """This machine's."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> Options:
    """The options, those that go together checked; leaves with a message when they do not."""
    given = vars(parser.parse_args(argv))
    if "load" in given:
        useless = [name for name in (*ARCHITECTURE_OPTIONS, *TRAINING_OPTIONS) if name in given]
        if useless:
            parser.error(f"--load skips the training: it leaves nothing to --{useless[0].replace('_', '-')}")
    if {"epochs", "seconds"} & given.keys():
        given["steps"] = None
    if "compare" in given:
        given["compare"] = tuple(given["compare"])
        if not all(given["compare"]):
            parser.error("--compare: expected two texts, got an empty one")
    options = Options(**given)
    if options.gigabytes > memory_in_gigabytes():
        sizes = "--hidden, --layers, --batch or --bptt"
        parser.error(f"{sizes}: the training needs about {options.gigabytes:,.0f} GB, more than this machine has")
    try:
        if options.save is not None:
            require_writable(options.save)  # now, not after the training
    except OSError as error:
        parser.error(f"--save: cannot write a file {options.save}: {error.strerror}")
    return options
