"""A character language model: tokens in, the probabilities of the next token out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

import fusedrnn as fr
from corpus import Alphabet, Chunk, Tokens
from extras import require
from fusedrnn._files import whole_file
from training import (
    Array,
    Embedding,
    Linear,
    OneHot,
    dropout_mask,
    log_probabilities,
    softmax_cross_entropy,
)

CELLS = {"lstm": fr.LSTM, "gru": fr.GRU}
INPUTS = ("embedding", "onehot")


@dataclass(frozen=True)
class Architecture:
    """What a model is made of, its alphabet aside."""

    cell: str = "gru"
    hidden: int = 256
    layers: int = 1
    input: str = "embedding"
    embedding_size: int = 128

    def __post_init__(self) -> None:
        for name, known in (("cell", CELLS), ("input", INPUTS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("hidden", "layers", "embedding_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}")

    def shapes(self, num_tokens: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The name and the shape of every parameter, one after the other: a file may ask for any number of them."""
        width = self.embedding_size if self.input == "embedding" else num_tokens
        if self.input == "embedding":
            yield "embedding.weight", (num_tokens, width)
        rows = {"lstm": 4, "gru": 3}[self.cell] * self.hidden
        for layer in range(self.layers):
            yield f"rnn.weight_ih_l{layer}", (rows, self.hidden if layer else width)
            yield f"rnn.weight_hh_l{layer}", (rows, self.hidden)
            yield f"rnn.bias_ih_l{layer}", (rows,)
            yield f"rnn.bias_hh_l{layer}", (rows,)
        yield "output.weight", (num_tokens, self.hidden)
        yield "output.bias", (num_tokens,)


class ModelFileError(ValueError):
    """A file that holds no model; the message says why."""


class CharModel:
    """Embedding or one-hot input, LSTM or GRU, and a linear layer to the logits of the next character.

    The parameters have the names, shapes and meaning that torch.nn gives them in an Embedding `embedding`, an LSTM or
    GRU `rnn` and a Linear `output`.

    Args:
        architecture: what it is made of.
        alphabet: the characters it knows.
        dropout: probability of dropping a value between layers in training (Zaremba et al. 2014): of the recurrent
            layers' outputs, and of an embedding's.
        rng: seed of the initial parameters and of the dropout.
        dtype: float32, or float64 to check the gradients.
    """

    def __init__(
        self,
        architecture: Architecture,
        alphabet: Alphabet,
        dropout: float = 0.0,
        rng: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.architecture = architecture
        self.alphabet = alphabet
        self.dropout = dropout
        self.rng = np.random.default_rng(rng)
        self.embedding: Embedding | OneHot
        if architecture.input == "embedding":
            self.embedding = Embedding(len(alphabet), architecture.embedding_size, self.rng, dtype)
        else:
            self.embedding = OneHot(len(alphabet), dtype)
        self.rnn: fr.LSTM | fr.GRU = CELLS[architecture.cell](
            self.embedding.output_size,
            architecture.hidden,
            architecture.layers,
            dropout=dropout if architecture.layers > 1 else 0.0,
            dtype=dtype,
            rng=self.rng,
        )
        if architecture.cell == "lstm":
            for layer in range(architecture.layers):  # remember at first (Jozefowicz et al. 2015)
                self.rnn.params[f"bias_ih_l{layer}"][architecture.hidden : 2 * architecture.hidden] = 1
        self.output = Linear(architecture.hidden, len(alphabet), self.rng, dtype)

    @property
    def params(self) -> dict[str, Array]:
        """Every parameter by name; change them in place."""
        parts: dict[str, Mapping[str, Array]] = {
            "embedding": self.embedding.params,
            "rnn": self.rnn.params,
            "output": self.output.params,
        }
        return {f"{part}.{name}": array for part, params in parts.items() for name, array in params.items()}

    @property
    def num_params(self) -> int:
        """How many numbers are learned."""
        return sum(array.size for array in self.params.values())

    # Training

    def gradients(self, chunk: Chunk, state: Any) -> tuple[float, dict[str, Array], Any]:
        """Backpropagate through one chunk, from the state that the chunk before it left.

        Returns:
            The mean loss in nats a character, the gradients by parameter name, and the state for the next chunk.
        """
        x = self.embedding(chunk.inputs)
        drop_input = self._dropout_mask(x.shape) if isinstance(self.embedding, Embedding) else None
        if drop_input is not None:
            x *= drop_input
        y, state, tape = self.rnn.record(x, state, reset=chunk.reset)
        drop_output = self._dropout_mask(y.shape)
        if drop_output is not None:
            y *= drop_output  # after the tape has kept what it needs
        loss, dlogits = softmax_cross_entropy(self.output(y), chunk.targets)
        dy, output = self.output.backward(y, dlogits)
        if drop_output is not None:
            dy *= drop_output
        through_time = tape.backward(dy)
        dx = through_time.x
        if drop_input is not None:
            dx *= drop_input
        parts = {"embedding": self.embedding.backward(chunk.inputs, dx), "rnn": through_time.params, "output": output}
        gradients = {f"{part}.{name}": array for part, grads in parts.items() for name, array in grads.items()}
        return loss, gradients, state

    def _dropout_mask(self, shape: tuple[int, ...]) -> Array | None:
        return dropout_mask(shape, self.dropout, self.rng) if self.dropout else None

    # Probabilities

    def log_probabilities(self, tokens: Tokens, readers: int = 1, steps: int = 2048) -> NDArray[np.float64]:
        """ln P of every token but the first, each given all before it: (N - 1,).

        Args:
            tokens: (N,).
            readers: read that many parts of the text side by side. Faster, but each reader begins its part with
                nothing before it; with one reader the result is exact.
            steps: read that many at a time, the state carried over: bounds the memory; only rounding changes.
        """
        pairs = len(tokens) - 1
        length = -(-pairs // readers)
        places = np.arange(readers)[np.newaxis] * length + np.arange(length)[:, np.newaxis]
        inside = places < pairs
        places[~inside] = 0  # the last part may be shorter: read something, and drop it below
        result = np.empty(places.shape)
        state: Any = None
        for begin in range(0, length, steps):
            part = places[begin : begin + steps]
            y, state = self.rnn(self.embedding(tokens[part]), state)
            result[begin : begin + steps] = log_probabilities(self.output(y), tokens[part + 1])
        read: NDArray[np.float64] = result.T[inside.T]
        return read

    def score(self, texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """ln P of every character of each text, all in one ragged batch, each text at the beginning of a line."""
        tokens = [np.concatenate([self._line_start, self.alphabet.encode(text)]) for text in texts]
        lengths = [len(row) - 1 for row in tokens]
        padded = np.zeros((max(lengths) + 1, len(tokens)), np.int32)
        for column, row in enumerate(tokens):
            padded[: len(row), column] = row
        y, _ = self.rnn(self.embedding(padded[:-1]), lengths=lengths)
        scores = log_probabilities(self.output(y), padded[1:])
        return [scores[:length, column] for column, length in enumerate(lengths)]

    @property
    def _line_start(self) -> Tokens:
        """What a text is taken to follow."""
        return self.alphabet.encode("\n")

    # Writing

    def sample(self, prompt: str, length: int, temperature: float, rng: np.random.Generator) -> str:
        """Let the model write `length` characters after `prompt`, one step at a time.

        Args:
            prompt: what it goes on from; may be empty.
            length: how many characters.
            temperature: 1 draws from the model's own probabilities, less prefers the likely ones, 0 always takes the
                likeliest.
            rng: draws the characters.
        """
        stream = self.rnn.stream()
        # Every character the model may draw, as the recurrent layer will read it.
        vectors = self.embedding(np.arange(len(self.alphabet)))
        y = np.empty(self.architecture.hidden, vectors.dtype)
        for token in np.concatenate([self._line_start, self.alphabet.encode(prompt)]):
            stream.step(vectors[token], out=y)
        written = np.empty(length, np.int32)
        for place in range(length):
            token = _draw(self.output(y), temperature, rng)
            written[place] = token
            stream.step(vectors[token], out=y)
        return self.alphabet.decode(written)

    # Files

    def save(self, path: Path) -> None:
        """Write the parameters, and what is needed to make the model again, to a file of one of `FORMATS`.

        When anything fails, the file that was there before is there still.
        """
        with whole_file(path) as file:
            FORMATS[path.suffix].save(file, self.params, self._description())

    def _description(self) -> str:
        return json.dumps({"characters": self.alphabet.characters, **asdict(self.architecture)})

    @classmethod
    def load(cls, path: Path) -> CharModel:
        """The model in a file that `save` wrote."""
        try:
            arrays, description = FORMATS[path.suffix].load(path)
            fields = json.loads(description)
            alphabet = Alphabet(fields.pop("characters"))
            architecture = Architecture(**fields)
            check_arrays(arrays, architecture, len(alphabet))  # before a description of any size is followed
            model = cls(architecture, alphabet)
            for name, param in model.params.items():
                param[...] = arrays[name]
        except OSError as error:
            raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from None
        except Exception as error:  # a damaged or foreign file can fail anywhere in the readers
            raise ModelFileError(f"{path} holds no model of this example: {error}") from error
        return model


def check_arrays(arrays: Mapping[str, Array], architecture: Architecture, num_tokens: int) -> None:
    """ValueError unless these are the parameters of such a model."""
    expected = 0
    for name, shape in architecture.shapes(num_tokens):
        expected += 1
        if name not in arrays:
            raise ValueError(f"expected a parameter {name}, got {', '.join(arrays) or 'none'}")
        if arrays[name].shape != shape or arrays[name].dtype.kind != "f":
            got = f"{arrays[name].dtype} of shape {arrays[name].shape}"
            raise ValueError(f"{name}: expected floats of shape {shape}, got {got}")
    if len(arrays) != expected:
        raise ValueError(f"expected {expected} parameters, got {len(arrays)}")


def _draw(logits: Array, temperature: float, rng: np.random.Generator) -> int:
    """A token, never the unknown one."""
    logits = logits.astype(np.float64)
    logits[Alphabet.UNKNOWN] = -np.inf
    if temperature == 0:
        return int(logits.argmax())
    # The Gumbel-max trick: the argmax is a draw from softmax(logits / temperature).
    return int((logits / temperature + rng.gumbel(size=len(logits))).argmax())


class _Safetensors:
    """https://github.com/huggingface/safetensors, which most other tools read."""

    requires = "safetensors.numpy"

    @staticmethod
    def save(path: Path, arrays: Mapping[str, Array], description: str) -> None:
        require("safetensors.numpy").save_file(dict(arrays), path, metadata={"char_lm": description})

    @staticmethod
    def load(path: Path) -> tuple[dict[str, Array], str]:
        with require("safetensors").safe_open(path, framework="numpy") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata()["char_lm"]


class _Npz:
    """NumPy's own format."""

    requires = "numpy"

    @staticmethod
    def save(path: Path, arrays: Mapping[str, Array], description: str) -> None:
        entries: dict[str, Any] = {**arrays, "char_lm": np.array(description)}
        np.savez(path, **entries)

    @staticmethod
    def load(path: Path) -> tuple[dict[str, Array], str]:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, str(arrays.pop("char_lm"))


FORMATS: dict[str, type[_Safetensors] | type[_Npz]] = {".safetensors": _Safetensors, ".npz": _Npz}
"""Model files by suffix."""
