"""A training loop: epochs or steps, validation, early stopping, checkpoints."""

from __future__ import annotations

import importlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _checks
from fusedrnn._checks import Array
from fusedrnn._saving import require_saving
from fusedrnn.nn import losses
from fusedrnn.nn.model import Loss, Model, States
from fusedrnn.optim import Optimiser, Schedule, norms
from fusedrnn.optim.clipping import joint
from fusedrnn.training import checkpoint as checkpoints
from fusedrnn.training.checkpoint import Position

__all__ = ["Batch", "Batches", "History", "fit"]

Batch = tuple[Any, ...] | Mapping[str, Any]
"""(x, targets), (x, targets, lengths), or a mapping with "x", "targets" and any of "lengths" and "reset"."""

Batches = Iterable[Batch] | Callable[[int], Iterable[Batch]]
"""The same batches for every epoch, or a function of the epoch's number, from 0, that gives them."""

Metric = Callable[..., float]
"""metric(y, targets), called with the options that a loss is called with."""


@dataclass
class History:
    """What happened in a training.

    Attributes:
        loss: of every step, as far as this process has seen them.
        validation: (step, loss) of every look at the validation batches.
        metric: (step, value) of the metric at each of these looks.
        best_step: after which step the validation loss was least; None without validation.
        steps: how many are over, those before a resumption too.
        epochs: the same of epochs.
        seconds: of this process.
        stopped: why it ended: "done", "patience" or "interrupted".
    """

    loss: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    metric: list[tuple[int, float]] = field(default_factory=list)
    best_step: int | None = None
    steps: int = 0
    epochs: int = 0
    seconds: float = 0.0
    stopped: str = "done"


def fit(
    model: Model,
    batches: Batches,
    optimiser: Optimiser,
    loss: Loss = losses.cross_entropy,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    carry_state: bool = False,
    clip_norm: float | None = None,
    schedule: Schedule | None = None,
    validation: Iterable[Batch] | None = None,
    validate_every: int | None = None,
    metric: Metric | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    progress: bool = True,
) -> History:
    """Train a model.

        optimiser = fr.optim.Adam(model.params)
        fr.fit(model, batches, optimiser, epochs=10, validation=held_out, checkpoint="run.safetensors")

    It is `model.record_loss`, `tape.backward`, a check that loss and gradients are finite, `clip_norm`, and
    `optimiser.step`, over and over; each can be used without it.

    Args:
        model: a Sequential or an EncoderDecoder; changed in place.
        batches: (x, targets), (x, targets, lengths), or mappings with those names and "reset"; or a function of the
            epoch's number that gives them. x and lengths are those of a call of the model: of an EncoderDecoder, pairs.
            To resume a run they must be the same again.
        optimiser: of the model's parameters.
        loss: as of `Sequential.record_loss`.
        epochs, steps: how long; one of the two. With steps the batches begin again as often as it takes.
        carry_state: each batch goes on where the one before ended (truncated BPTT); each epoch begins from zeros.
        clip_norm: bound on the joint norm of all gradients; None for none.
        schedule: what the optimiser's lr at the beginning is multiplied by, as a function of the steps made.
        validation: batches whose mean loss is looked at after every epoch, or every `validate_every` steps.
        metric: a function of (y, targets) that gives a number, such as `fusedrnn.nn.accuracy`. Its mean over the
            validation batches is in the bar and in the history; which look is best is for the loss to say. Like the
            loss it is called with `lengths` and `batch_first` as well where a batch has lengths and y is a sequence.
        patience: end when so many looks in a row were no better than the best; None: never.
        checkpoint: a safetensors file with all that the run depends on, written at every look, at the end, on Ctrl-C,
            and every `checkpoint_every` steps. If it is there, the run goes on from it, with the same bits as if it had
            never been interrupted; one that is over goes on when it is given more epochs or steps.
        progress: whether to show a bar; it needs tqdm and appears on a terminal only.

    Returns:
        History. With validation the model ends with the parameters of the best look.

    Raises:
        FloatingPointError: NaN or infinity in x or targets (not in what lies beyond lengths), in the loss or in a
            gradient; names the step and the array. The step's update has not been made.
        ValueError: an argument out of its range; a checkpoint that is damaged or of another model.
        TypeError: an argument of the wrong type.
        OSError: the checkpoint cannot be written.
        ImportError: checkpoints need safetensors.

    Ctrl-C ends the training after the step in hand; a second one ends it at once.
    """
    if (epochs is None) == (steps is None):
        raise ValueError("epochs: expected one of epochs and steps")
    for name, value, needed, given in (
        ("patience", patience, "validation", validation),
        ("validate_every", validate_every, "validation", validation),
        ("metric", metric, "validation", validation),
        ("checkpoint_every", checkpoint_every, "checkpoint", checkpoint),
    ):
        if value is not None and given is None:
            raise ValueError(f"{name}: expected {needed} with it")
    _checks.boolean("progress", progress)
    run = _Run(model, batches, optimiser, loss, clip_norm, schedule, carry_state)
    run.last_epoch = None if epochs is None else _checks.integer("epochs", epochs, 1)
    run.last_step = None if steps is None else _checks.integer("steps", steps, 1)
    run.validation = None if validation is None else _listed(validation)
    run.validate_every = _checks.optional_count("validate_every", validate_every)
    if metric is not None and not callable(metric):
        raise TypeError(f"metric: expected a function of (y, targets), got {_checks.describe(metric)}")
    run.metric = metric
    run.patience = _checks.optional_count("patience", patience)
    run.checkpoint_every = _checks.optional_count("checkpoint_every", checkpoint_every)
    if checkpoint is not None:
        run.resume(_path(checkpoint))
    began = time.perf_counter()
    with _interruptible() as interrupted, _bar(progress, run) as show:
        run.train(interrupted, show)
    run.history.seconds = time.perf_counter() - began
    return run.history


class _Run:
    """A training in progress."""

    def __init__(
        self,
        model: Model,
        batches: Batches,
        optimiser: Optimiser,
        loss: Loss,
        clip_norm: float | None,
        schedule: Schedule | None,
        carry_state: bool,
    ) -> None:
        if not isinstance(model, Model):
            got = _checks.describe(model)
            raise TypeError(f"model: expected a Sequential or EncoderDecoder, got {got}; Sequential(model) makes one")
        if not isinstance(optimiser, Optimiser):
            raise TypeError(f"optimiser: expected an optimiser of fusedrnn.optim, got {_checks.describe(optimiser)}")
        for name, function in (("loss", loss), ("schedule", schedule)):
            if function is not None and not callable(function):
                raise TypeError(f"{name}: expected a function, got {_checks.describe(function)}")
        _require_params_of(model, optimiser)
        self.model, self.optimiser, self.loss = model, optimiser, loss
        self.clip_norm = None if clip_norm is None else _checks.positive("clip_norm", clip_norm)
        self.schedule = schedule
        self.carry_state = _checks.boolean("carry_state", carry_state)
        self._batches = batches if callable(batches) else _repeated(batches)
        self.last_epoch: int | None = None
        self.last_step: int | None = None
        self.validation: list[Batch] | None = None
        self.metric: Metric | None = None
        self.validate_every = self.patience = self.checkpoint_every = 0
        self.checkpoint: Path | None = None
        self.history = History()
        self.position = Position(peak_rate=optimiser.lr)
        self.state: States | None = None
        self.best: dict[str, Array] | None = None

    # The loop

    def train(self, interrupted: threading.Event, show: Callable[[float, int], None]) -> None:
        reason = self._over()
        while reason is None:
            reason = self._epoch(interrupted, show) or self._over()
        if reason == "done" and self.validation is not None and not self.validate_every:
            self._look()
        self.history.stopped = reason
        self._write_history()
        if self.checkpoint is not None:
            self._save()
        if reason != "interrupted" and self.best is not None:  # the file has both, so that the run can go on
            self.model.load_params(self.best)

    def _over(self) -> str | None:
        """Why there is no more to do, or None."""
        position = self.position
        if self.patience and position.waited >= self.patience:
            return "patience"
        done, last = (position.step, self.last_step) if self.last_epoch is None else (position.epoch, self.last_epoch)
        return "done" if last is not None and done >= last else None

    def _epoch(self, interrupted: threading.Event, show: Callable[[float, int], None]) -> str | None:
        """Go on with the epoch in hand; why the training is to end, or None."""
        position = self.position
        seen = position.batch
        for batch in islice(_iterated(self._batches(position.epoch)), position.batch, None):
            seen += 1
            named = _named(batch)
            self._step(named)
            position.batch += 1
            position.step += 1
            show(self.history.loss[-1], self._row_steps(named))
            if self.validate_every and position.step % self.validate_every == 0 and self._look():
                return "patience"
            if self.checkpoint is not None and self.checkpoint_every and position.step % self.checkpoint_every == 0:
                self._save()
            if self.last_step is not None and position.step >= self.last_step:
                return None
            if interrupted.is_set():
                return "interrupted"
        if seen == 0:
            raise ValueError(f"batches: expected at least one in epoch {position.epoch}, got none")
        position.epoch, position.batch, self.state = position.epoch + 1, 0, None
        if self.validation is not None and not self.validate_every and self._look():
            return "patience"
        return None

    def _step(self, batch: Mapping[str, Any]) -> None:
        step = self.position.step + 1
        lengths, batch_first = batch.get("lengths"), self.model.batch_first
        for name, array, its_lengths in self.model.sequences(batch["x"], lengths):
            _require_finite(array, f"step {step}: {name}", its_lengths, batch_first)
        _require_finite(batch["targets"], f"step {step}: targets", its_lengths, batch_first)
        options = {name: batch[name] for name in ("lengths", "reset") if batch.get(name) is not None}
        value, state, tape = self.model.record_loss(batch["x"], batch["targets"], self.loss, self.state, **options)
        if not math.isfinite(value):
            raise FloatingPointError(f"step {step}: the loss is {value}; no parameter has been changed")
        gradients = tape.backward().params
        each = norms(gradients)
        wrong = [name for name, norm in each.items() if not math.isfinite(norm)]
        if wrong:
            raise FloatingPointError(
                f"step {step}: NaN or infinity in the gradient of {', '.join(wrong)}; no parameter has been changed"
            )
        norm = joint(each)
        scale = 1.0 if self.clip_norm is None or norm <= self.clip_norm else self.clip_norm / norm
        if self.schedule is not None:
            self.optimiser.lr = self.position.peak_rate * self.schedule(self.position.step)
        self.optimiser.step(gradients, scale=scale)
        self.state = state if self.carry_state else None
        self.history.loss.append(value)

    def _row_steps(self, batch: Mapping[str, Any]) -> int:
        """How many steps of how many rows a batch has."""
        read = self.model.sequences(batch["x"], None)
        return sum(math.prod(np.shape(array)[:2]) for _, array, _ in read)

    # Validation

    def _look(self) -> bool:
        """Look at the validation loss, once after a step; whether patience is at its end."""
        position = self.position
        if not self.history.validation or self.history.validation[-1][0] != position.step:
            self._compare()
        return bool(self.patience) and position.waited >= self.patience

    def _compare(self) -> None:
        """The validation loss now against the best."""
        position = self.position
        value, measured = self._validation_means()
        self.history.validation.append((position.step, value))
        if measured is not None:
            self.history.metric.append((position.step, measured))
        if value < position.best_loss:
            position.best_loss, position.best_step, position.waited = value, position.step, 0
            self.best = {name: array.copy() for name, array in self.model.params.items()}
        else:
            position.waited += 1
        if self.checkpoint is not None:
            self._save()

    def _validation_means(self) -> tuple[float, float | None]:
        """The loss and the metric, if there is one: means over all validation batches, each counting as many times as
        it has targets that count."""
        values, measured, state = _Mean(), _Mean(), None
        for batch in self.validation or ():
            named = _named(batch)
            options = {name: named[name] for name in ("lengths", "reset") if named.get(name) is not None}
            targets = named["targets"]
            if self.metric is None:
                value, after = self.model.loss(named["x"], targets, self.loss, state, **options)
            else:
                y, after = self.model(named["x"], state, **options)
                of_loss = self.model.loss_options(named.get("lengths"))
                value = float(self.loss(y, targets, **of_loss)[0])
                measured.add(float(self.metric(y, targets, **of_loss)), self._targets_in(named, self.metric))
            values.add(value, self._targets_in(named, self.loss))
            state = after if self.carry_state else None
        return values.value(), None if self.metric is None else measured.value()

    def _targets_in(self, batch: Mapping[str, Any], function: Loss | Metric) -> int:
        """How many targets there are, without those beyond lengths and those that the function was told to ignore."""
        targets = np.asarray(batch["targets"])
        _, x, lengths = self.model.sequences(batch["x"], batch.get("lengths"))[-1]
        if targets.shape[:2] != np.shape(x)[:2]:  # not a target for every step
            lengths = None
        counts = losses.counted(targets.shape, lengths, self.model.batch_first)
        ignored = function.keywords.get("ignore") if isinstance(function, partial) else None
        return int(counts.sum() if ignored is None else (counts & (targets != ignored)).sum())

    # Checkpoints

    def resume(self, path: Path) -> None:
        """Keep checkpoints there, and go on from the one that is there already."""
        require_saving(path)
        self.checkpoint = path
        if not path.exists():
            return
        found = checkpoints.load(path, self.model, self.optimiser)
        self.position, self.state, self.best = found.position, found.state, found.best
        self.history.validation = list(found.position.validation)
        self.history.metric = list(found.position.metric)
        self._write_history()

    def _save(self) -> None:
        assert self.checkpoint is not None
        self.position.validation = list(self.history.validation)
        self.position.metric = list(self.history.metric)
        checkpoints.save(self.checkpoint, self.model, self.optimiser, self.position, self.state, self.best)

    def _write_history(self) -> None:
        position, history = self.position, self.history
        history.steps, history.epochs, history.best_step = position.step, position.epoch, position.best_step


class _Mean:
    """A weighted mean of numbers that come one by one."""

    def __init__(self) -> None:
        self._total, self._weight = 0.0, 0

    def add(self, value: float, weight: int) -> None:
        self._total, self._weight = self._total + value * weight, self._weight + weight

    def value(self) -> float:
        return self._total / max(self._weight, 1)


def _repeated(batches: Iterable[Batch]) -> Callable[[int], Iterable[Batch]]:
    if isinstance(batches, Iterator):  # it could be read once only
        raise TypeError(
            "batches: expected a list, another collection or a function of the epoch's number, got an iterator; "
            "list(batches) keeps what it gives"
        )
    if not isinstance(batches, Iterable):
        got = _checks.describe(batches)
        raise TypeError(f"batches: expected a list or a function of the epoch's number, got {got}")
    return lambda epoch: batches


def _iterated(batches: Iterable[Batch]) -> Iterator[Batch]:
    if not isinstance(batches, Iterable):
        raise TypeError(f"batches: expected the function to give batches, got {_checks.describe(batches)}")
    return iter(batches)


def _listed(validation: Iterable[Batch]) -> list[Batch]:
    if not isinstance(validation, Iterable):
        raise TypeError(f"validation: expected batches, got {_checks.describe(validation)}")
    found = list(validation)
    if not found:
        raise ValueError("validation: expected at least one batch, got none")
    return found


def _path(checkpoint: object) -> Path:
    if not isinstance(checkpoint, (str, Path)):
        raise TypeError(f"checkpoint: expected the path of a file, got {_checks.describe(checkpoint)}")
    return Path(checkpoint)


def _require_params_of(model: Model, optimiser: Optimiser) -> None:
    params = model.params
    for name, array in optimiser.params.items():
        if name not in params or params[name] is not array:
            raise ValueError(f"optimiser: expected one of this model's params, {name!r} is not the model's")


def _named(batch: Batch) -> Mapping[str, Any]:
    if isinstance(batch, Mapping):
        unknown = [str(name) for name in batch if name not in ("x", "targets", "lengths", "reset")]
        if unknown or not {"x", "targets"} <= set(batch):
            raise ValueError(f"batches: expected x, targets, lengths and reset, got {', '.join(map(str, batch))}")
        return batch
    if not isinstance(batch, tuple) or len(batch) not in (2, 3):
        got = _checks.describe(batch)
        raise ValueError(f"batches: expected (x, targets), (x, targets, lengths) or a mapping, got {got}")
    return dict(zip(("x", "targets", "lengths"), batch, strict=False))


def _require_finite(value: Any, name: str, lengths: Any, batch_first: bool) -> None:
    """FloatingPointError if something that counts is not finite."""
    array: NDArray[Any] = np.asarray(value)
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    if lengths is not None and array.ndim >= 2:
        counts = losses.counted(array.shape, lengths, batch_first)
        if np.isfinite(array[counts]).all():
            return
    raise FloatingPointError(f"{name}: expected finite numbers, got NaN or infinity; no parameter has been changed")


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, in the main thread; the second one is a KeyboardInterrupt."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    if not callable(before):  # the caller ignores it
        yield interrupted
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(wanted: bool, run: _Run) -> Iterator[Callable[[float, int], None]]:
    """A function that shows one step more: its loss, and how many steps of how many rows it read."""
    tqdm = _tqdm() if wanted and sys.stderr.isatty() else None
    if tqdm is None:
        yield lambda loss, count: None
        return
    with tqdm(total=run.last_step, initial=run.position.step, unit="step", dynamic_ncols=True) as bar:
        mean, read, began = math.nan, 0, time.perf_counter()
        measure = _name_of(run.metric)

        def show(loss: float, count: int) -> None:
            nonlocal mean, read
            read += count
            mean = loss if math.isnan(mean) else mean + (loss - mean) / 30
            shown = [f"loss {mean:.4g}"]
            for name, looked in (("validation", run.history.validation), (measure, run.history.metric)):
                shown += [f"{name} {looked[-1][1]:.4g}"] if looked else []
            shown.append(f"{read / (time.perf_counter() - began):,.0f} row-steps/s")
            bar.set_postfix_str(", ".join(shown), refresh=False)
            bar.update(1)

        yield show


def _name_of(function: Any) -> str:
    """What the bar calls a metric."""
    function = function.func if isinstance(function, partial) else function
    name = getattr(function, "__name__", "metric")
    return "metric" if name == "<lambda>" else str(name)


def _tqdm() -> Any:
    try:
        return importlib.import_module("tqdm").tqdm
    except ImportError:
        return None
