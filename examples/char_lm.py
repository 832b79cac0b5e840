"""Train a character language model on English text, and see what it has learned.

    python examples/char_lm.py [--text FILE]

An embedding, a GRU (or LSTM) and a softmax learn to predict the next character, by truncated backpropagation through
time with the state carried over from chunk to chunk. Without --text they read the language reference that ships in
every Python. At the end the model is compared on held-out text with n-gram models of the same training text, it writes
some text of its own, it says which of two sentences is the likelier one, and it is loaded from a file and
checked.

The recurrent layers are fusedrnn's; everything around them is NumPy. Here is the training and the course of events;
`char_model.py` is the model, `training.py` its other layers, loss and optimiser, `corpus.py` the text, `ngrams.py` the
baselines, `char_options.py` the command line, `char_report.py` what is printed at the end.
"""

from __future__ import annotations

import os

# Both are read when the libraries are loaded. Threads that have nothing to do wait by spinning: NumPy's in the way of
# fusedrnn's and the other way round, and on a busy machine in the way of everybody. NumPy's products here are small
# enough for one thread, and with one their rounding does not depend on the machine's number of cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import io
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import fusedrnn as fr
from char_model import FORMATS, Architecture, CharModel, ModelFileError
from char_options import ARCHITECTURE_OPTIONS, Options, make_parser, parse
from char_report import (
    check_saving,
    compare_sentences,
    compare_with_ngrams,
    held_out_scores,
    print_facts,
    print_sample,
)
from corpus import Corpus, TextError, python_reference_text, read_chunks, read_text
from extras import require
from training import Adam, clip_gradients, perplexity, warmup_cosine

BAR = "{percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}"

UNNAMED_MODEL = "model.safetensors"
"""What the model is saved as when it is not to be kept."""


@dataclass
class TrainingLog:
    """What happened in training.

    Attributes:
        steps, characters, seconds: how much was read, in what time (looks at the held-out text left out).
        peak: characters a second in the best second; 0 before one is over.
        loss: nats a character of the training text, a running mean of the last steps.
        held_out: perplexities of the held-out text, looked at ten times on the way.
    """

    steps: int = 0
    characters: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    loss: float = 0.0
    held_out: list[float] = field(default_factory=list)
    _second: tuple[int, float] = (0, 0.0)

    def add(self, loss: float, characters: int, seconds: float) -> None:
        """One step more."""
        self.steps += 1
        self.characters += characters
        self.seconds += seconds
        self.loss += (loss - self.loss) / min(self.steps, 30)
        counted, began = self._second
        if self.seconds - began >= 1.0:
            self.peak = max(self.peak, (self.characters - counted) / (self.seconds - began))
            self._second = self.characters, self.seconds

    @property
    def speed(self) -> float:
        """Characters a second, on average."""
        return self.characters / self.seconds

    def facts(self, text_length: int) -> list[tuple[str, str]]:
        """All of it for a summary."""
        rounds = self.characters / text_length
        facts = [
            ("training", f"{self.steps:,} steps in {self.seconds:.1f} s, {rounds:.1f} times the text"),
            ("throughput", f"{self.speed:,.0f} characters/s, at its peak {max(self.peak, self.speed):,.0f}"),
        ]
        if self.held_out:
            facts.append(("held-out perplexity on the way", " ".join(f"{value:.2f}" for value in self.held_out)))
        return facts

    def line(self) -> str:
        """All of it for a progress bar."""
        held_out = f", held-out {self.held_out[-1]:.2f}" if self.held_out else ""
        return f"loss {self.loss:.3f}, perplexity {perplexity(self.loss):.2f}{held_out}, {self.speed:,.0f} characters/s"


Result = TypeVar("Result")


class DivergedError(Exception):
    """The loss is no longer a number."""


def progress_of(options: Options, corpus: Corpus) -> Callable[[TrainingLog], float]:
    """How far the training is, from 0 to 1: by steps, or with --seconds by time."""
    if options.seconds is not None:
        seconds = options.seconds
        return lambda log: min(log.seconds / seconds, 1.0)
    if options.epochs is not None:
        total = math.ceil(options.epochs * len(corpus.training) / (options.batch * options.bptt))
    else:
        assert options.steps is not None
        total = options.steps
    return lambda log: log.steps / total


def train(model: CharModel, corpus: Corpus, options: Options) -> TrainingLog:
    """Truncated backpropagation through time until the steps, the epochs or the seconds are over, or Ctrl-C."""
    progress_after = progress_of(options, corpus)
    adam = Adam(model.params)
    log = TrainingLog()
    state: Any = None
    with require("tqdm").tqdm(total=1.0, bar_format=BAR, disable=options.quiet, dynamic_ncols=True) as bar:
        try:
            for chunk in read_chunks(corpus.training, options.batch, options.bptt):
                began = time.perf_counter()
                progress = progress_after(log)
                loss, gradients, state = model.gradients(chunk, state)
                norm = clip_gradients(gradients.values(), options.clip)
                if not math.isfinite(loss + norm):
                    raise DivergedError(f"diverged after {log.steps} steps; a smaller --lr or --clip may help")
                adam.step(gradients, options.lr * warmup_cosine(progress))
                log.add(loss, chunk.inputs.size, time.perf_counter() - began)
                done = progress_after(log)
                if not options.quiet and int(10 * done) > len(log.held_out):
                    log.held_out.append(perplexity(-model.log_probabilities(corpus.held_out, readers=16).mean()))
                bar.set_postfix_str(log.line(), refresh=False)
                bar.update(min(done, 1.0) - progress)
                if done >= 1:
                    break
        except KeyboardInterrupt:
            if not log.steps:
                raise
            bar.write(f"Stopped after {log.steps} steps.", file=sys.stderr)
    return log


def heard(call: Callable[..., Result], *arguments: Any, **options: Any) -> Result | None:
    """What `call` returns, or None when nobody reads any more what is printed: then nothing more is printed."""
    try:
        return call(*arguments, **options)
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return None


def introduce(model: CharModel, corpus: Corpus) -> None:
    """What is about to learn what."""
    print(
        f"{corpus.name}: {len(corpus.training):,} characters to learn, {len(corpus.held_out):,} held out, "
        f"alphabet of {len(corpus.alphabet)}\n"
        f"{type(model.embedding).__name__}, {model.rnn}, Linear: {model.num_params:,} parameters; "
        f"fusedrnn on {fr.isa()}, {fr.get_num_threads()} thread(s)",
        flush=True,
    )


def report(model: CharModel, corpus: Corpus, options: Options, log: TrainingLog | None) -> bool:
    """Everything that is to be said about a model; whether it survived being saved."""
    ours, reading = held_out_scores(model, corpus)
    compare_with_ngrams(model, corpus, ours)
    writing = print_sample(model, options.prompt, options.sample_length, options.temperature, options.seed)
    compare_sentences(model, options.compare)
    same = check_saving(model, corpus, ours, options.save, UNNAMED_MODEL)
    facts = [
        ("held-out perplexity", f"{perplexity(-ours.mean()):.3f}"),
        ("reading", f"{reading:,.0f} characters/s, one after the other"),
    ]
    if writing:
        facts.append(("writing", f"{writing:,.0f} characters/s"))
    if log is not None:
        facts = log.facts(len(corpus.training)) + facts
    print_facts("Summary", facts)
    return same


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; an exit code."""
    began = time.perf_counter()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack a character that a text has
    parser = make_parser(*(__doc__ or "").split("\n\n")[:1])
    options = parse(parser, argv)
    for path in (options.save or Path(UNNAMED_MODEL), options.load or Path(UNNAMED_MODEL)):
        require(FORMATS[path.suffix].requires)  # now, not after the training
    if options.threads is not None:
        fr.set_num_threads(options.threads)
    try:
        model = None if options.load is None else CharModel.load(options.load)
        text = python_reference_text() if options.text is None else read_text(options.text)
        name = "Python's reference" if options.text is None else str(options.text)
        corpus = Corpus.of(name, text, None if model is None else model.alphabet)
    except ModelFileError as error:
        parser.error(f"--load: {error}")
    except TextError as error:
        parser.error(f"--text: {error}")

    log = None
    if model is not None:
        heard(introduce, model, corpus)
    else:
        architecture = Architecture(**{name: getattr(options, name) for name in ARCHITECTURE_OPTIONS})
        model = CharModel(architecture, corpus.alphabet, options.dropout, options.seed)
        heard(introduce, model, corpus)
        try:
            log = train(model, corpus, options)
        except DivergedError as error:
            parser.exit(1, f"{parser.prog}: {error}\n")
    if options.save is not None:
        try:
            model.save(options.save)  # first of all: what follows takes a while, and may be stopped
        except OSError as error:
            parser.exit(1, f"{parser.prog}: --save: cannot write {options.save}: {error.strerror or error}\n")
    same = heard(report, model, corpus, options, log)
    heard(print, f"  {time.perf_counter() - began:.1f} s all in all", flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
