"""An encoder and a decoder as one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._tape import Gradients
from fusedrnn.layers import LSTM
from fusedrnn.nn._part import Part
from fusedrnn.nn.model import Loss, Model, same, single_parts
from fusedrnn.nn.model_tapes import LossTape, ModelTape, States
from fusedrnn.nn.residual import Residual
from fusedrnn.nn.sequential import Sequential

__all__ = ["EncoderDecoder"]


class EncoderDecoder(Model):
    """Two models, the second of which begins with the states that the first ends with (Cho et al. 2014, Sutskever et
    al. 2014): many-to-many of different lengths.

    Where a model takes x, this one takes a pair (source, given): what the encoder reads, and what the decoder is given
    at each step, in training the right outputs one step late. Where a model takes lengths, this one takes a pair of
    them, either of which may be None. The outputs are the decoder's; those of the encoder are not used.

        model = fr.nn.EncoderDecoder(
            fr.nn.Sequential(fr.nn.Embedding(500, 32), fr.GRU(32, 96)),
            fr.nn.Sequential(fr.nn.Embedding(700, 32), fr.GRU(32, 96), fr.nn.Linear(96, 700)),
        )
        loss, _, tape = model.record_loss((source, y[:-1]), y[1:], lengths=(source_lengths, y_lengths - 1))

    The state that a call begins with is the encoder's, and the state it returns is the decoder's. Once it is trained,
    `model.encoder` and `model.decoder` are used one after the other.

    Args:
        encoder, decoder: Sequentials of one dtype and one batch_first, with recurrent parts whose states are alike: as
            many parts, of the same cells, layers, directions and hidden sizes.

    Parameters are named "encoder.0.weight", "decoder.0.weight".

    Raises:
        ValueError: they differ in what must be alike, or have a part in common.
        TypeError: one of them is no Sequential.
    """

    def __init__(self, encoder: Sequential, decoder: Sequential) -> None:
        for name, model in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(model, Sequential):
                raise TypeError(f"{name}: expected a Sequential, got {_checks.describe(model)}")
        self.encoder, self.decoder = encoder, decoder
        self.parts = (encoder, decoder)
        single = list(single_parts(self.parts))
        if len({id(part) for part in single}) < len(single):
            raise ValueError("decoder: expected parts of its own, one stands in the encoder too")
        self.dtype = same("dtype", [encoder.dtype, decoder.dtype])
        self._order  # noqa: B018 (raises)
        given, wanted = _state_of(encoder), _state_of(decoder)
        if given != wanted or not given:
            raise ValueError(f"decoder: expected recurrent parts with the encoder's states, {given}, got {wanted}")

    @property
    def named_parts(self) -> dict[str, Any]:
        """Both by their names."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @property
    def _pools(self) -> bool:
        return self.decoder._pools

    def sequences(self, x: Any, lengths: Any) -> list[tuple[str, Any, Any]]:
        """What is read: source and given, each with its lengths."""
        if not isinstance(x, (tuple, list)) or len(x) != 2:
            raise ValueError(f"x: expected a pair (source, given), got {_checks.describe(x)}")
        if lengths is None:
            lengths = (None, None)
        if not isinstance(lengths, (tuple, list)) or len(lengths) != 2:
            got = _checks.describe(lengths)
            raise ValueError(f"lengths: expected a pair, of source and of given, or None, got {got}")
        return [("source", x[0], lengths[0]), ("given", x[1], lengths[1])]

    def loss_options(self, lengths: Any) -> dict[str, Any]:
        """Keyword arguments of a loss, given a call's lengths: those of the decoder."""
        return self.decoder.loss_options(None if lengths is None else lengths[1])

    def _call(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States]:
        (source, of_source), (given, of_given) = self._two(x, steps)
        return self.decoder._call(given, self.encoder._call(source, state, of_source)[1], of_given)

    def _record(self, x: Any, state: States | None, steps: Mapping[str, Any]) -> tuple[Array, States, ModelTape]:
        (source, of_source), (given, of_given) = self._two(x, steps)
        _, between, read = self.encoder._record(source, state, of_source)
        y, after, written = self.decoder._record(given, between, of_given)
        return y, after, _EncoderDecoderTape(read, written)

    def _loss(
        self, x: Any, targets: ArrayLike, loss: Loss, state: States | None, steps: Mapping[str, Any]
    ) -> tuple[float, States]:
        (source, of_source), (given, of_given) = self._two(x, steps)
        return self.decoder._loss(given, targets, loss, self.encoder._call(source, state, of_source)[1], of_given)

    def _record_loss(
        self, x: Any, targets: ArrayLike, loss: Loss, state: States | None, steps: Mapping[str, Any]
    ) -> tuple[float, States, LossTape]:
        (source, of_source), (given, of_given) = self._two(x, steps)
        _, between, read = self.encoder._record(source, state, of_source)
        value, after, written = self.decoder._record_loss(given, targets, loss, between, of_given)
        tape = _EncoderDecoderTape(read, written.tape)
        return value, after, LossTape(tape, written.dy, _named("decoder", written.params))

    def _two(self, x: Any, steps: Mapping[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
        if steps["reset"] is not None:
            raise ValueError("reset: expected None, a row of an encoder-decoder is one source and what is made of it")
        return [(one, {"lengths": lengths, "reset": None}) for _, one, lengths in self.sequences(x, steps["lengths"])]

    def __repr__(self) -> str:
        inner = "\n".join(f"({name}) {part!r}" for name, part in (("encoder", self.encoder), ("decoder", self.decoder)))
        return f"EncoderDecoder(\n  {inner.replace(chr(10), chr(10) + '  ')}\n)  {self.num_params:,} parameters"


class _EncoderDecoderTape(ModelTape):
    __slots__ = ("_read", "_written")

    def __init__(self, read: ModelTape, written: ModelTape) -> None:
        self._read, self._written = read, written

    def backward(
        self, dy: Array | None = None, dstate: States | None = None, *, truncate: int | None = None
    ) -> Gradients[States]:
        """As `ModelTape.backward`; `x` is a pair. truncate goes for each of the two by itself."""
        of_decoder = self._written.backward(dy, dstate, truncate=truncate)
        of_encoder = self._read.backward(None, of_decoder.state, truncate=truncate)
        params = {**_named("encoder", of_encoder.params), **_named("decoder", of_decoder.params)}
        return Gradients((of_encoder.x, of_decoder.x), of_encoder.state, params)  # type: ignore[arg-type]


def _named(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _state_of(part: Any) -> Any:
    """The shapes of a part's state, nested as that is."""
    if isinstance(part, Residual):
        return _state_of(part.part)
    if isinstance(part, Model):
        return tuple(_state_of(one) for one in part.parts if not isinstance(one, Part))
    count = part.num_layers * (2 if part.bidirectional else 1)
    h = f"h ({count}, B, {part.proj_size or part.hidden_size})"
    return f"{h}, c ({count}, B, {part.hidden_size})" if isinstance(part, LSTM) else h
