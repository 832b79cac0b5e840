"""Text as numbers: the text, its alphabet, its two parts, and the chunks that training reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.integer[Any]]


class TextError(ValueError):
    """A text that cannot be used; the message is for whoever chose it."""


def read_text(path: Path) -> str:
    """A UTF-8 text file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TextError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    if not text.strip():
        raise TextError(f"{path} is empty")
    return text


def python_reference_text() -> str:
    """The English of the language reference that ships in every Python for its help(): `pydoc_data.topics`.

    One paragraph a line. Examples, grammar, tables, headings and every sentence with code in it are left out. Some
    topics repeat whole passages of others: every paragraph is taken once, or what is held out at the end of the text
    would be in the training part too.
    """
    from pydoc_data.topics import topics

    paragraphs: dict[str, None] = {}
    for topic in topics.values():
        for paragraph in re.split(r"\n\s*\n", topic):
            if not _IS_CODE.search(paragraph):
                paragraphs.setdefault(prose(paragraph))
    paragraphs.pop("", None)
    return "\n".join(paragraphs) + "\n"


_IS_CODE = re.compile(r"^\s*(>>>|\.\.\.|\||\+[-=])", re.MULTILINE)
"""Lines of a session with Python, or of a table."""
_LABEL = re.compile(
    r"^([*•-] |\d+\. |\(\d+\) |((Changed|New|Deprecated|Added)[^:]* version[^:]*"
    r"|Note|See also|Warning|Tip|\*\*CPython implementation detail):(\*\*)? )+"
)
_MARKUP = (
    (re.compile(r"(?<![\w.])([a-z]+)\(\)"), r"\1"),  # a function's name
    (re.compile(r'"([^"]*)"'), r"\1"),
    (re.compile(r"\*\*?([^*]+)\*\*?"), r"\1"),
    (re.compile("[\u2018\u2019]"), "'"),
)
_SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()-]{20,}[.!?]")


def prose(paragraph: str) -> str:
    """The sentences of a paragraph that are plain English, in one line, without list marks and quotes round code."""
    words = _LABEL.sub("", " ".join(paragraph.split()), count=1)
    for pattern, replacement in _MARKUP:
        words = pattern.sub(replacement, words)
    sentences = re.split(r"(?<=[.!?]) +(?=[A-Z])", words)
    return " ".join(s for s in sentences if _SENTENCE.fullmatch(s) and not re.search(r"\w\(|\(\)|::", s))


class Alphabet:
    """The characters a model knows, numbered from 1. Number 0 stands for every other character.

    Args:
        characters: the known ones, each once.
    """

    UNKNOWN = 0
    REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, characters: str) -> None:
        if len(set(characters)) != len(characters):
            raise ValueError("characters: expected each once")
        self.characters = "".join(sorted(characters))
        self._codes = _code_points(self.characters)

    @classmethod
    def of(cls, text: str, at_least: int = 1) -> Alphabet:
        """The characters that `text` has `at_least` so many times; rarer ones teach what an unknown one is like."""
        return cls("".join(character for character, count in Counter(text).items() if count >= at_least))

    def __len__(self) -> int:
        """How many numbers there are, 0 included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> NDArray[np.int32]:
        """The number of every character."""
        codes = _code_points(text)
        if not len(self._codes):
            return np.zeros(len(codes), np.int32)
        place = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return np.where(self._codes[place] == codes, place + 1, self.UNKNOWN).astype(np.int32)

    def decode(self, tokens: Tokens) -> str:
        """The text of these numbers, `REPLACEMENT` where the character is unknown."""
        symbols = self.REPLACEMENT + self.characters
        return "".join(symbols[token] for token in tokens)

    def unknown_in(self, text: str) -> str:
        """The characters of `text` that are not in the alphabet, each once."""
        return "".join(sorted(set(text) - set(self.characters)))


def _code_points(text: str) -> NDArray[np.uint32]:
    # surrogatepass: a command line argument that is not valid text arrives as surrogates, which are just unknown.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


@dataclass(frozen=True)
class Corpus:
    """A text cut in two, as numbers: what is learned, and what shows whether it was."""

    name: str
    alphabet: Alphabet
    training: Tokens
    held_out: Tokens

    HELD_OUT: ClassVar[float] = 0.1
    """The share of the text, at its end, that is held out."""

    RARE: ClassVar[int] = 3
    """Characters that the training part has fewer times than this are read as the unknown one."""

    SHORTEST: ClassVar[int] = 200
    """Characters; with fewer, the held-out part says nothing."""

    @classmethod
    def of(cls, name: str, text: str, alphabet: Alphabet | None = None) -> Corpus:
        """Cut a text; its alphabet is the training part's unless one is given."""
        if len(text) < cls.SHORTEST:
            raise TextError(f"{name} is too short: {len(text)} characters, at least {cls.SHORTEST} are needed")
        cut = len(text) - int(cls.HELD_OUT * len(text))
        if alphabet is None:
            alphabet = Alphabet.of(text[:cut], at_least=cls.RARE)
        return cls(name, alphabet, alphabet.encode(text[:cut]), alphabet.encode(text[cut:]))


Chunk = tuple[Tokens, Tokens, NDArray[np.bool_]]
"""(T, B) each: tokens, the token that follows each, and where a reader begins the text anew and must forget the old."""


def read_chunks(tokens: Tokens, batch: int, steps: int) -> Iterator[Chunk]:
    """Read a text without end, for truncated backpropagation through time with the state carried over.

    `batch` readers start at equal distances and go round and round the text, each `steps` further with every chunk:
    a reader's next chunk begins where its last one ended, so its state can be carried over, until it passes the end
    of the text. The chunks are cut at other places in every round, and no character is left out.

    Args:
        tokens: (N,) with N > 1.
        batch: B readers.
        steps: T steps a chunk.
    """
    pairs = len(tokens) - 1
    starts = np.arange(batch, dtype=np.int64) * pairs // batch
    steps_of_chunk = np.arange(steps, dtype=np.int64)[:, np.newaxis]
    while True:
        places = (starts + steps_of_chunk) % pairs
        yield tokens[places], tokens[places + 1], places == 0
        starts = (starts + steps) % pairs
