"""A character language model: tokens in, the probabilities of the next token out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fusedrnn as fr
from corpus import Alphabet, Tokens
from extras import require
from fusedrnn._files import whole_file

Array = NDArray[Any]
CELLS = {"lstm": fr.LSTM, "gru": fr.GRU}


class ModelFileError(ValueError):
    """A file that holds no model; the message says why."""


class CharModel:
    """An embedding, an LSTM or GRU, and a linear layer to the logits of the next character.

    Args:
        alphabet: the characters it knows.
        cell: one of `CELLS`.
        hidden, layers: of the recurrent network.
        embedding_size: length of a character's vector; 0 for unit vectors (one-hot), which need no embedding.
        dropout: probability of dropping an output of a recurrent layer in training (Zaremba et al. 2014).
        seed: of the initial parameters and of the dropout.

    Attributes:
        network: all of it, to be called and trained.
        params: every parameter by the name that torch.nn gives it in a module with an Embedding `embedding`, an LSTM or
            GRU `rnn` and a Linear `output`.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        cell: str = "gru",
        hidden: int = 256,
        layers: int = 1,
        embedding_size: int = 128,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.alphabet, self.cell = alphabet, cell
        rng, num_tokens = np.random.default_rng(seed), len(alphabet)
        parts: dict[str, Any] = {}
        if embedding_size:
            parts["embedding"] = fr.nn.Embedding(num_tokens, embedding_size, rng=rng)
        between = dropout if layers > 1 else 0.0
        self.rnn = CELLS[cell](embedding_size or num_tokens, hidden, layers, dropout=between, rng=rng)
        parts["rnn"] = self.rnn
        if isinstance(self.rnn, fr.LSTM):
            fr.nn.init.forget_bias(self.rnn, 1.0)  # remember at first (Jozefowicz et al. 2015)
        parts["dropout"] = fr.nn.Dropout(dropout, rng=rng)
        parts["output"] = fr.nn.Linear(hidden, num_tokens, rng=rng)
        self.network = fr.nn.Sequential(*parts.values())
        self.params = {f"{name}.{own}": array for name, part in parts.items() for own, array in part.params.items()}

    # Probabilities

    def log_probabilities(self, tokens: Tokens, readers: int = 1, steps: int = 2048) -> NDArray[np.float64]:
        """ln P of every token but the first, each given all before it: (N - 1,).

        Args:
            tokens: (N,).
            readers: read that many parts of the text side by side. Faster, but each reader begins its part with
                nothing before it; with one reader the result is exact.
            steps: read that many at a time, the state carried over: bounds the memory.
        """
        pairs = len(tokens) - 1
        length = -(-pairs // readers)
        places = np.arange(readers) * length + np.arange(length)[:, np.newaxis]
        inside = places < pairs
        places[~inside] = 0  # the last part may be shorter: read something, and drop it below
        result = np.empty(places.shape)
        state = None
        for begin in range(0, length, steps):
            part = places[begin : begin + steps]
            logits, state = self.network(tokens[part], state)
            result[begin : begin + steps] = log_softmax(logits, tokens[part + 1])
        read: NDArray[np.float64] = result.T[inside.T]
        return read

    def score(self, texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """ln P of every character of each text, all in one ragged batch, each text at the beginning of a line."""
        tokens, lengths = fr.nn.pad([self.alphabet.encode("\n" + text) for text in texts])
        logits, _ = self.network(tokens[:-1], lengths=lengths - 1)
        scores = log_softmax(logits, tokens[1:])
        return [scores[: length - 1, column] for column, length in enumerate(lengths)]

    # Writing

    def sample(self, prompt: str, length: int, temperature: float, rng: np.random.Generator) -> str:
        """Let the model write `length` characters after `prompt`, one step at a time.

        Args:
            prompt: what it goes on from, at the beginning of a line; may be empty.
            length: how many characters.
            temperature: 1 draws from the model's own probabilities, less prefers the likely ones, 0 always takes the
                likeliest.
            rng: draws the characters.
        """
        stream, output = self.rnn.stream(embedding=self.params.get("embedding.weight"), tokens=True), self.network[-1]
        y = stream.process(self.alphabet.encode("\n" + prompt)[:, np.newaxis].astype(np.int64))[-1]
        written = np.empty((length, 1), np.int64)
        for token in written:
            token[:] = _draw(output(y)[0], temperature, rng)
            stream.step(token, out=y)
        return self.alphabet.decode(written[:, 0])

    # Files

    def save(self, path: Path) -> None:
        """Write the parameters and the alphabet to a safetensors file.

        When anything fails, the file that was there before is there still.
        """
        metadata = {"characters": self.alphabet.characters, "cell": self.cell}
        with whole_file(path) as file:
            require("safetensors.numpy").save_file(self.params, file, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> CharModel:
        """The model in a file that `save` wrote."""
        try:
            with open(path, "rb"):  # an OSError that says more than safetensors does
                pass
            with require("safetensors").safe_open(path, framework="numpy") as file:
                params = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                metadata = file.metadata() or {}
            if "characters" not in metadata:
                raise ValueError("it does not say which characters its tokens are; train and --save it again")
            alphabet = Alphabet(metadata["characters"])
            model = cls(alphabet, metadata["cell"], **_sizes(params, metadata["cell"], len(alphabet)))
            load_params(model.params, params)
        except OSError as error:
            raise ModelFileError(f"cannot read {path}: {error.strerror or error}") from None
        except Exception as error:  # a damaged or foreign file can fail anywhere in the readers
            raise ModelFileError(f"{path} holds no model of this example: {error}") from error
        return model


def load_params(params: Mapping[str, Array], values: Mapping[str, Array]) -> None:
    """Copy the values into the parameters: the same names and shapes, all of them float32."""
    wanted = {name: (array.shape, array.dtype) for name, array in params.items()}
    given = {name: (array.shape, array.dtype) for name, array in values.items()}
    wrong = sorted(wanted.keys() ^ given.keys()) or [name for name in wanted if wanted[name] != given[name]]
    if wrong:
        raise ValueError(f"parameters that do not fit: {', '.join(wrong)}")
    for name, array in params.items():
        array[...] = values[name]


def _sizes(params: Mapping[str, Array], cell: str, num_tokens: int) -> dict[str, int]:
    """The sizes of a model with such parameters. No more than they hold is asked for: each is looked at."""
    embedding = params.get("embedding.weight", np.empty((num_tokens, 0)))
    hidden = params["rnn.weight_hh_l0"].shape[1]
    width, layers = embedding.shape[1] or num_tokens, 0
    while f"rnn.weight_hh_l{layers}" in params:
        gates = {"lstm": 4, "gru": 3}[cell] * hidden
        for name, columns in (("weight_ih", width), ("weight_hh", hidden)):
            if params[f"rnn.{name}_l{layers}"].shape != (gates, columns):
                raise ValueError(f"rnn.{name}_l{layers}: expected shape {(gates, columns)}")
        width, layers = hidden, layers + 1
    if embedding.shape[0] != num_tokens or params["output.weight"].shape != (num_tokens, hidden):
        raise ValueError(f"expected an embedding and an output of {num_tokens} characters")
    return {"hidden": hidden, "layers": layers, "embedding_size": embedding.shape[1]}


def log_softmax(logits: Array, targets: Tokens) -> NDArray[np.float64]:
    """ln P(target) under softmax(logits): logits (…, classes), targets (…) -> (…), in float64."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, targets[..., np.newaxis], axis=-1)[..., 0]
    result: NDArray[np.float64] = chosen - np.log(np.exp(shifted).sum(axis=-1, dtype=np.float64))
    return result


def _draw(logits: Array, temperature: float, rng: np.random.Generator) -> int:
    """A token, never the unknown one."""
    logits = logits.astype(np.float64)
    logits[Alphabet.UNKNOWN] = -np.inf
    if temperature == 0:
        return int(logits.argmax())
    # The Gumbel-max trick: the argmax is a draw from softmax(logits / temperature).
    return int((logits / temperature + rng.gumbel(size=len(logits))).argmax())
