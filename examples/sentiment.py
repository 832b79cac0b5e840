"""Is a sentence praise or complaint? Many-to-one, with sentences of different lengths and with negation.

    python examples/sentiment.py [--seed N] [--threads N] [SENTENCE]

The sentences are made by the grammar below: "not good" is complaint, "nobody would say that it was bad" is praise, and
of two clauses one decides. A third of all pairs of negation and adjective occur in no training sentence, and every
held-out sentence is decided by such a pair. A batch is padded to its longest sentence; `lengths` says where each ends.
An LSTM reads words as embeddings, as one-hot rows, or as bare numbers, which say that word 7 is nearly word 8.

The baseline is scikit-learn's logistic regression on the counts of words, a bag of words: since half of the sentences
turn their adjective round, it can do little but guess. The same on pairs of neighbours is printed beside it. It prints
which part of the held-out sentences each gets right, and what is said of some sentences.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

import fusedrnn as fr

Sentence = tuple[list[str], int]
"""Its words, and 1 for praise or 0 for complaint."""

# The grammar: a sentence is [frame] clause, or two of them; a clause is the NOUN was [negation] [adverb] ADJECTIVE

NOUNS = ["food", "soup", "service", "waiter", "room", "music", "wine", "view"]
GOOD = ["good", "great", "lovely", "friendly", "fresh", "perfect", "nice", "warm"]
BAD = ["bad", "awful", "boring", "rude", "stale", "poor", "nasty", "cold"]
NEGATIONS = ["not", "never", "hardly"]
ADVERBS = ["very", "really", "quite"]
FRAMES = ("i think that", "everybody said that", "i do not think that", "nobody would say that")
"""The last two turn the sentence into its contrary."""

UNITS, WIDTH, BATCH, EPOCHS = 32, 16, 32, 15


def is_held_out(negation: str, adjective: str) -> bool:
    return (NEGATIONS.index(negation) + (GOOD + BAD).index(adjective)) % 3 == 0


def clause(rng: np.random.Generator, held_out: bool) -> Sentence:
    """A clause whose pair of negation and adjective, if it has one, is held out, or not."""
    negated, framed = held_out or rng.random() < 0.5, rng.random() < 0.5
    while True:
        praise = int(rng.integers(2))
        adjective, negation = str(rng.choice(GOOD if praise else BAD)), str(rng.choice(NEGATIONS))
        if not negated or is_held_out(negation, adjective) == held_out:
            break
    frame = int(rng.integers(len(FRAMES)))
    words = FRAMES[frame].split() if framed else []
    words += ["the", str(rng.choice(NOUNS)), "was"] + [negation] * negated
    words += [str(rng.choice(ADVERBS))] * int(rng.integers(2)) + [adjective]
    return words, praise ^ negated ^ (framed and frame >= 2)


def sentence(rng: np.random.Generator, held_out: bool) -> Sentence:
    """One clause, or two of which the main one decides: A but B, although A , B, or B although A."""
    (words, praise), (other, _) = clause(rng, held_out), clause(rng, False)
    form = int(rng.integers(4))
    forms = (words, [*other, "but", *words], ["although", *other, ",", *words], [*words, "although", *other])
    return forms[form], praise


# Words to numbers

OTHERS = ["the", "was", "but", "although", ",", *" ".join(FRAMES).split()]
WORDS = sorted({*NOUNS, *GOOD, *BAD, *NEGATIONS, *ADVERBS, *OTHERS})
NUMBERS = {word: number for number, word in enumerate(WORDS, 1)}
VOCABULARY = len(WORDS) + 1
"""With the padding, which is 0."""


def padded(sentences: list[list[str]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """(T, B) numbers of words, and the length of each column."""
    return fr.nn.pad([[NUMBERS[word] for word in words] for words in sentences])


Encoding = tuple[Callable[[NDArray[np.int64]], NDArray[Any]], Callable[[int], list[Any]], int]
ENCODINGS: dict[str, Encoding] = {
    "embeddings": (
        lambda tokens: tokens,
        lambda seed: [fr.nn.Embedding(VOCABULARY, WIDTH, padding_idx=0, rng=seed)],
        WIDTH,
    ),
    "one-hot": (lambda tokens: np.eye(VOCABULARY, dtype=np.float32)[tokens], lambda seed: [], VOCABULARY),
    "numbers": (lambda tokens: (tokens[..., None] / VOCABULARY).astype(np.float32), lambda seed: [], 1),
}
"""What the model reads, the part before the LSTM, and how wide that one's input is."""


class Judge:
    """An LSTM that says of sentences how likely they are praise."""

    def __init__(self, encoding: str, seed: int) -> None:
        self.encode, first, width = ENCODINGS[encoding]
        lstm, head = fr.LSTM(width, UNITS, rng=seed), fr.nn.Linear(UNITS, 2, rng=seed)
        self.model = fr.nn.Sequential(*first(seed), lstm, fr.nn.LastStep(), head)

    def learn(self, sentences: list[Sentence], seed: int) -> None:
        def batches(epoch: int) -> Iterator[tuple[Any, ...]]:
            order = np.random.default_rng([seed, epoch]).permutation(len(sentences))
            for rows in np.array_split(order, len(sentences) // BATCH):
                tokens, lengths = padded([sentences[row][0] for row in rows])
                yield self.encode(tokens), np.array([sentences[row][1] for row in rows]), lengths

        optimiser = fr.optim.Adam(self.model.params, lr=1e-2)
        schedule = fr.optim.cosine(EPOCHS * (len(sentences) // BATCH))
        fr.fit(self.model, batches, optimiser, epochs=EPOCHS, clip_norm=1.0, schedule=schedule, progress=False)

    def praise(self, sentences: list[list[str]]) -> NDArray[Any]:
        tokens, lengths = padded(sentences)
        logits, _ = self.model(self.encode(tokens), lengths=lengths)
        return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


class Counts:
    """Logistic regression on how often each run of `neighbours` words or fewer occurs."""

    def __init__(self, neighbours: int, sentences: list[Sentence]) -> None:
        self.counter = CountVectorizer(ngram_range=(1, neighbours), token_pattern=r"\S+")
        counts = self.counter.fit_transform([" ".join(words) for words, _ in sentences])
        self.regression = LogisticRegression(max_iter=1000).fit(counts, [praise for _, praise in sentences])

    def praise(self, sentences: list[list[str]]) -> NDArray[Any]:
        counts = self.counter.transform([" ".join(words) for words in sentences])
        return np.asarray(self.regression.predict_proba(counts)[:, 1])


def run(seed: int = 0, train: int = 2000, tested: int = 1000) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    training = [sentence(rng, held_out=False) for _ in range(train)]
    held_out = [sentence(rng, held_out=True) for _ in range(tested)]
    judges: dict[str, Any] = {f"LSTM, {encoding}": Judge(encoding, seed) for encoding in ENCODINGS}
    for judge in judges.values():
        judge.learn(training, seed)
    judges |= {"bag of words": Counts(1, training), "pairs of words": Counts(2, training)}
    words, truth = [words for words, _ in held_out], np.array([praise for _, praise in held_out])
    right = {name: float(((judge.praise(words) > 0.5) == truth).mean()) for name, judge in judges.items()}
    return {
        "metric": "held-out sentences right: LSTM on embeddings (baseline: bag of words)",
        "value": right["LSTM, embeddings"],
        "baseline": right["bag of words"],
        "right": right,
        "judges": judges,
        "training": training,
        "held_out": held_out,
    }


EXAMPLES = (
    "the food was good",
    "the food was not good",
    "the waiter was never rude",
    "nobody would say that the soup was not really fresh",
    "although the room was lovely , the service was hardly perfect",
    "the service was hardly perfect although the room was lovely",
    "the wine was awful but i do not think that the view was bad",
)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Praise or complaint?")
    parser.add_argument("sentence", nargs="?", help="another sentence, of the words of the grammar")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(argv)
    wanted = [*EXAMPLES, options.sentence] if options.sentence else EXAMPLES
    unknown = [word for text in wanted for word in text.split() if word not in NUMBERS]
    if unknown or "" in (text.strip() for text in wanted):
        parser.error(f"sentence: expected words of {' '.join(WORDS)}; got {' '.join(unknown) or 'nothing'}")
    if options.threads is not None:
        fr.set_num_threads(options.threads)
    found = run(options.seed)
    print(f"held-out sentences right, of {len(found['held_out'])}:")
    for name, part in found["right"].items():
        print(f"  {name:18} {part:.1%}")
    judges = [found["judges"][name] for name in ("LSTM, embeddings", "bag of words")]
    together, counted = (judge.praise([text.split() for text in wanted]) for judge in judges)
    alone = [judges[0].praise([text.split()])[0] for text in wanted]
    print("\nhow likely praise: LSTM, bag of words")
    for text, ours, theirs in zip(wanted, together, counted, strict=True):
        print(f"  {ours:4.2f}  {theirs:4.2f}  {text}")
    print(f"the same without padding, one by one, to the bit: {'yes' if list(together) == alone else 'no'}")


if __name__ == "__main__":
    main()
