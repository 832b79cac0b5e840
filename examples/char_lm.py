"""Train a character language model on English prose, and see what it has learned.

    python examples/char_lm.py [--text FILE]

An embedding, a GRU (or LSTM) and a softmax learn to predict the next character, by truncated backpropagation through
time with the state carried over from chunk to chunk. Without --text they read the prose of the language reference that
ships in every Python. At the end the model is compared on held-out text with n-gram models of the same training text,
it writes some text of its own, it says which of two sentences is the likelier one, and it is loaded from a file and
checked.

Here is the training and the course of events; `char_model.py` is the model, `corpus.py` the text, `ngrams.py` the
baselines, `char_options.py` the command line, `char_report.py` what is printed at the end, `char_torch.py` the same
training in PyTorch, for its speed.
"""

from __future__ import annotations

import io
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import fusedrnn as fr
from char_model import CharModel, ModelFileError
from char_options import Options, make_parser, parse
from char_report import held_out_perplexities, perplexity, report
from corpus import Corpus, TextError, python_reference_text, read_chunks, read_text
from extras import require

BAR = "{percentage:3.0f}%|{bar:8}| {elapsed}<{remaining}{postfix}"
"""With what `TrainingLog.line` says, less than 80 columns."""

RATE = fr.optim.warmup(20, fr.optim.cosine(980, final=0.02))
"""What the learning rate is multiplied by, after so many thousandths of the training: it may end by the clock."""


@dataclass
class TrainingLog:
    """What happened in training.

    Attributes:
        steps, characters, seconds: how much was read, in what time (looks at the held-out text left out).
        loss: nats a character of the training text, a running mean of the last steps.
        held_out: perplexities of the held-out text, looked at ten times on the way.
    """

    steps: int = 0
    characters: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    held_out: list[float] = field(default_factory=list)

    def add(self, loss: float, characters: int, seconds: float) -> None:
        """One step more."""
        self.steps += 1
        self.characters += characters
        self.seconds += seconds
        self.loss += (loss - self.loss) / min(self.steps, 30)

    @property
    def speed(self) -> float:
        """Characters a second, on average."""
        return self.characters / self.seconds

    def line(self) -> str:
        """All of it for a progress bar."""
        held_out = f", held-out {self.held_out[-1]:.2f}" if self.held_out else ""
        return f"perplexity {perplexity(self.loss):.2f}{held_out}, {self.speed:,.0f} chars/s"


class DivergedError(Exception):
    """The loss is no longer a number, or a hopeless one."""


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
    adam = fr.optim.Adam(model.network.params, options.lr, betas=(0.9, 0.99))
    hopeless = 10 + math.log(len(corpus.alphabet))
    log = TrainingLog()
    updates = fr.tbptt(model.network, read_chunks(corpus.training, options.batch, options.bptt), k1=options.bptt)
    with require("tqdm").tqdm(total=1.0, bar_format=BAR, disable=options.quiet, dynamic_ncols=True) as bar:
        try:
            while (progress := progress_after(log)) < 1:
                began = time.perf_counter()
                update = next(updates)
                norm = fr.optim.grad_norm(update.gradients)
                if not (update.loss < hopeless and math.isfinite(norm)):
                    raise DivergedError(f"diverged after step {log.steps}; a smaller --lr or --clip may help")
                adam.lr = options.lr * RATE(int(1000 * progress))
                adam.step(update.gradients, scale=min(1.0, options.clip / max(norm, 1e-30)))
                log.add(update.loss, options.batch * options.bptt, time.perf_counter() - began)
                done = min(progress_after(log), 1.0)
                if not options.quiet and int(10 * done) > len(log.held_out):
                    log.held_out.append(perplexity(-model.log_probabilities(corpus.held_out, readers=16).mean()))
                bar.set_postfix_str(log.line(), refresh=False)
                bar.update(done - progress)
        except KeyboardInterrupt:
            if not log.steps:
                raise
            bar.write(f"Stopped after {log.steps} steps.", file=sys.stderr)
    return log


Result = TypeVar("Result")


def heard(call: Callable[..., Result], *arguments: Any) -> Result | None:
    """What `call` returns, or None when nobody reads any more what is printed: then nothing more is printed."""
    try:
        return call(*arguments)
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return None


def introduce(model: CharModel, corpus: Corpus) -> None:
    """What is about to learn what."""
    print(
        f"{corpus.name}: {len(corpus.training):,} characters to learn, {len(corpus.held_out):,} held out, "
        f"alphabet of {len(corpus.alphabet)}\n{model.network}\n"
        f"fusedrnn on {fr.isa()}, {fr.get_num_threads()} thread(s)",
        flush=True,
    )


def read_corpus(options: Options, model: CharModel | None = None) -> Corpus:
    """The text of the command line; its alphabet is the model's where there is one."""
    text = python_reference_text() if options.text is None else read_text(options.text)
    name = "Prose of Python's reference" if options.text is None else str(options.text)
    return Corpus.of(name, text, None if model is None else model.alphabet)


def new_model(corpus: Corpus, options: Options) -> CharModel:
    """As it is before the training."""
    return CharModel(corpus.alphabet, **options.architecture, dropout=options.dropout, seed=options.seed)


def run(seed: int = 0) -> dict[str, Any]:
    """Train as without options, and compare with the best of the n-gram models."""
    options = Options(seed=seed, quiet=True)
    corpus = read_corpus(options)
    model = new_model(corpus, options)
    train(model, corpus, options)
    found = held_out_perplexities(model, corpus, model.log_probabilities(corpus.held_out))
    return {
        "metric": "held-out perplexity, less is better: GRU (baseline: 5-gram)",
        "value": found["GRU"],
        "baseline": found["5-gram"],
        "model": model,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; an exit code."""
    began = time.perf_counter()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack a character that a text has
    parser = make_parser(*(__doc__ or "").split("\n\n")[:1])
    options = parse(parser, argv)
    require("safetensors.numpy")  # now, not after the training
    if options.threads is not None:
        fr.set_num_threads(options.threads)
    try:
        loaded = None if options.load is None else CharModel.load(options.load)
        corpus = read_corpus(options, loaded)
    except ModelFileError as error:
        parser.error(f"--load: {error}")
    except TextError as error:
        parser.error(f"--text: {error}")

    model, log = loaded or new_model(corpus, options), None
    heard(introduce, model, corpus)
    if loaded is None:
        try:
            log = train(model, corpus, options)
        except DivergedError as error:
            parser.exit(1, f"{parser.prog}: {error}\n")
        except MemoryError:
            parser.exit(1, f"{parser.prog}: out of memory; a smaller --batch, --bptt or --hidden may help\n")
    if options.save is not None:
        try:
            model.save(options.save)  # first of all: what follows takes a while, and may be stopped
        except OSError as error:
            parser.exit(1, f"{parser.prog}: --save: cannot write {options.save}: {error.strerror or error}\n")
    same = heard(report, model, corpus, options, log)
    heard(print, f"  {time.perf_counter() - began:.1f} s all in all")
    heard(sys.stdout.flush)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
