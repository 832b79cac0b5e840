"""Find the names of persons, places and organisations in sentences: many-to-many, one tag for every word.

    python examples/tagging.py [--seed N] [--threads N]

"Jordan" is a person, a country or a club: "Jordan , as reporters wrote , said …", "Jordan , as reporters wrote , lies
on …", "Jordan , as reporters wrote , sold its shares …". Only what comes later tells which, so a network that reads
from left to right has to guess; one that reads in both directions does not. The sentences are made by the grammar
below. Those of the test have forms that are not in the training sentences, and four in ten of their names have a word
that is new.

It prints the F1 of whole names, right in their words and their kind, for a bidirectional LSTM, for an LSTM that reads
forward only, and for the baseline: the tag that each word had most often in training.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np

import fusedrnn as fr

GRAMMAR = {
    "S": ["P IS WHO", "L IS WHERE", "O IS WHAT", "P , WHEN , WHO", "L , WHEN , WHERE", "O , WHEN , WHAT",
          "we heard of P , who WHO", "we heard of L , which WHERE", "we heard of O , which WHAT",
          "yesterday P and P WHO", "yesterday O and O WHAT", "between L and L there WERE"],
    "IS": ["", "once again", "for the second time"],
    "WHEN": ["as reporters wrote", "two papers said on monday", "so they say"],
    "WHO": ["smiled at P", "said that it was late", "was born in L", "works for O", "married P in L"],
    "WHERE": ["lies on a river", "had heavy rain", "is a day from L", "has a new bridge", "elected P"],
    "WHAT": ["sold its shares", "hired P", "lost its match with O", "opened an office in L", "paid O in cash"],
    "WERE": ["were floods", "was snow", "is a road"],
    "P": ["FIRST LAST", "LAST", "BOTH", "BOTH LAST"],
    "L": ["PLACE", "BOTH", "new BOTH", "BOTH bay"],
    "O": ["FIRM", "BOTH", "BOTH united", "bank of BOTH", "LAST brothers"],
}  # fmt: skip
"""Each symbol and what it may become; P, L and O are a person, a place and an organisation."""

NAMES = {
    "FIRST": "anna maria peter john emma karl olga ivan ruth hugo | clara felix nora otto",
    "LAST": "smith miller weber rossi garcia novak berg silva kovac moreau | tanaka jansen popov keller",
    "PLACE": "berlin oslo kenya peru lisbon cairo delhi ghent tokyo malta | vienna chile riga quito",
    "FIRM": "siemens toyota nokia reuters unilever philips bayer lego ikea fiat | bosch nestle danone sony",
    "BOTH": "jordan paris lincoln chelsea florence victoria austin madison | sydney orlando",
}
"""The words of each kind: those after the bar are only in the test."""

TAGS = ("O", "B-P", "I-P", "B-L", "I-L", "B-O", "I-O")
Sentence = tuple[list[str], list[int]]


def sentence(rng: np.random.Generator, names: dict[str, list[str]]) -> tuple[str, Sentence]:
    """A sentence of the grammar: its form, its words and their tags."""
    form: list[str] = []
    words: list[str] = []
    tags: list[int] = []

    def expand(symbol: str, kind: str | None) -> None:
        if symbol in GRAMMAR:
            inside = symbol if symbol in "PLO" else kind
            if kind is None and inside is not None:
                form.append(symbol)
                starts.add(len(words))
            for part in str(rng.choice(GRAMMAR[symbol])).split():
                expand(part, inside)
            return
        begins = len(words) in starts
        tags.append(0 if kind is None else TAGS.index(("B-" if begins else "I-") + kind))
        words.append(str(rng.choice(names[symbol])) if symbol in names else symbol)
        if kind is None:
            form.append(symbol)

    starts: set[int] = set()
    expand("S", None)
    return " ".join(form), (words, tags)


def make_data(seed: int, training: int, test: int) -> tuple[list[Sentence], list[Sentence]]:
    """Training and test sentences. A form, the sentence without its names, belongs to one of the two."""
    rng = np.random.default_rng(seed)
    old = {kind: words.split("|")[0].split() for kind, words in NAMES.items()}
    every = {kind: old[kind] + 2 * words.split("|")[1].split() for kind, words in NAMES.items()}
    found: tuple[list[Sentence], list[Sentence]] = ([], [])
    while len(found[0]) < training or len(found[1]) < test:
        held_out = len(found[1]) < test
        form, made = sentence(rng, every if held_out else old)
        if (sum(map(ord, form)) % 4 == 0) == held_out:
            found[held_out].append(made)
    return found


def spans(tags: list[int]) -> set[tuple[int, int, str]]:
    """The names that tags mark: first word, last word, kind."""
    found, first = set(), None
    for at, tag in enumerate([*(TAGS[tag] for tag in tags), "O"]):
        if first is not None and tag != "I-" + TAGS[tags[first]][-1]:
            found.add((first, at - 1, TAGS[tags[first]][-1]))
            first = None
        if tag[0] == "B":
            first = at
    return found


def f1(answers: list[list[int]], sentences: list[Sentence]) -> float:
    """The harmonic mean of precision and recall of whole names."""
    pairs = [(spans(answer), spans(tags)) for answer, (_, tags) in zip(answers, sentences, strict=True)]
    both = sum(len(given & right) for given, right in pairs)
    return 2 * both / max(sum(len(given) + len(right) for given, right in pairs), 1)


def most_frequent(training: list[Sentence], sentences: list[Sentence]) -> list[list[int]]:
    """The baseline: each word's most frequent tag; of a word that is new, the most frequent tag of names."""
    counts: dict[str, Counter[int]] = {}
    for words, tags in training:
        for word, tag in zip(words, tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    usual = Counter(tag for _, tags in training for tag in tags if tag).most_common(1)[0][0]
    return [[counts[w].most_common(1)[0][0] if w in counts else usual for w in words] for words, _ in sentences]


def vocabulary(training: list[Sentence]) -> dict[str, int]:
    """A number for every word; 0 stands for words that are new."""
    return {word: 1 + at for at, word in enumerate(sorted({word for words, _ in training for word in words}))}


def make_model(words: int, bidirectional: bool, seed: int, units: int = 48) -> fr.nn.Sequential:
    rng = np.random.default_rng(seed)
    lstm = fr.LSTM(32, units, bidirectional=bidirectional, rng=rng)
    head = fr.nn.Linear(2 * units if bidirectional else units, len(TAGS), rng=rng)
    return fr.nn.Sequential(fr.nn.Embedding(words, 32, rng=rng), lstm, head)


def from_torch(state: dict, units: int = 48) -> fr.nn.Sequential:
    """The network of a torch module whose parts are called embedding, lstm and head, from its state_dict."""
    bidirectional = "lstm.weight_ih_l0_reverse" in state
    model = make_model(len(state["embedding.weight"]), bidirectional, 0, units)
    numbers = {"embedding": "0", "lstm": "1", "head": "2"}
    named = [(*name.split("."), values) for name, values in state.items()]
    model.load_params({f"{numbers[part]}.{own}": values for part, own, values in named})
    return model


def train(model: fr.nn.Sequential, training: list[Sentence], index: dict[str, int], epochs: int, seed: int) -> None:
    """Every word is replaced by the unknown word now and then, so that the network learns to do without it."""

    def batches(epoch: int) -> Iterator[dict]:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(training))
        for rows in np.array_split(order, -(-len(order) // 32)):
            x, lengths = fr.nn.pad([[index[w] * (rng.random() > 0.15) for w in training[i][0]] for i in rows])
            yield {"x": x, "lengths": lengths, "targets": fr.nn.pad([training[i][1] for i in rows])[0]}

    fr.fit(model, batches, fr.optim.Adam(model.params, lr=5e-3), epochs=epochs, clip_norm=1.0)


def tag(model: fr.nn.Sequential, index: dict[str, int], sentences: list[list[str]]) -> list[list[int]]:
    """The tags of the words of each sentence."""
    tokens, lengths = fr.nn.pad([[index.get(word, 0) for word in words] for words in sentences])
    logits, _ = model(tokens, lengths=lengths)
    return [logits[:length, row].argmax(-1).tolist() for row, length in enumerate(lengths)]


def run(seed: int = 0, training: int = 2000, test: int = 500, epochs: int = 6) -> dict:
    """Train both networks; the F1 of each and of the baseline on the test sentences."""
    training_sentences, test_sentences = make_data(seed, training, test)
    index = vocabulary(training_sentences)
    answers = {"most frequent tag": most_frequent(training_sentences, test_sentences)}
    for name, bidirectional in (("forward only", False), ("bidirectional", True)):
        model = make_model(1 + len(index), bidirectional, seed)
        train(model, training_sentences, index, epochs, seed)
        answers[name] = tag(model, index, [words for words, _ in test_sentences])
    scores = {name: f1(answer, test_sentences) for name, answer in answers.items()}
    return {
        "metric": "F1 of names", "value": scores["bidirectional"], "baseline": scores["most frequent tag"],
        "scores": scores, "answers": answers, "sentences": test_sentences,
    }  # fmt: skip


def marked(words: list[str], tags: list[int]) -> str:
    """The sentence with its names in brackets."""
    found = {first: (last, kind) for first, last, kind in spans(tags)}
    ends = dict(found.values())
    kinds = {"P": "person", "L": "place", "O": "organisation"}
    return " ".join(
        "[" * (at in found) + word + (f" {kinds[ends[at]]}]" if at in ends else "") for at, word in enumerate(words)
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=fr.get_num_threads())
    options = parser.parse_args(argv)
    if options.seed < 0 or options.threads < 1:
        parser.error("expected a seed of at least 0 and at least one thread")
    with fr.threads(options.threads):
        found = run(options.seed)
    shown = 0
    for at, (words, tags) in enumerate(found["sentences"]):
        both, forward = (found["answers"][name][at] for name in ("bidirectional", "forward only"))
        if both == tags != forward and shown < 5:
            shown += 1
            print(f"both directions  {marked(words, both)}\nforward only     {marked(words, forward)}\n")
    for name, score in found["scores"].items():
        print(f"{name:<20}F1 {score:.3f}")


if __name__ == "__main__":
    main()
