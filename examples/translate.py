"""Translate English into German: many-to-many of different lengths, by an encoder and a decoder.

    python examples/translate.py [--seed N] [--threads N]

A GRU reads the English sentence; its last state is the decoder's first, and on the way back the gradient of the
decoder's first state is that of the encoder's last. In training the decoder is given the right words (teacher forcing),
afterwards its own: the likeliest one each time (greedy), or the best of several beginnings (beam search).

The sentences are made by the grammar below. German asks for more than words: the verb stands second, the participle
last ("today the old man has not seen the dog", "heute hat der alte Mann den Hund nicht gesehen"), and articles and
adjectives follow gender and case. No subject of a test sentence stands with its verb and object in training.

It prints the share of test sentences that are right in every word, beside the baseline: a dictionary, word by word.
"""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import product

import numpy as np

import fusedrnn as fr

NOUNS = {
    "man": "m Mann", "dog": "m Hund", "teacher": "m Lehrer", "king": "m König",
    "woman": "f Frau", "cat": "f Katze", "queen": "f Königin", "neighbour": "f Nachbarin",
    "child": "n Kind", "horse": "n Pferd", "girl": "n Mädchen", "sheep": "n Schaf",
}  # fmt: skip
VERBS = {"see": "sees seen sieht gesehen", "look for": "looks_for looked_for sucht gesucht",
         "find": "finds found findet gefunden", "hear": "hears heard hört gehört",
         "know": "knows known kennt gekannt", "ask": "asks asked fragt gefragt"}  # fmt: skip
ADJECTIVES = {"": "", "old": "alt", "small": "klein", "good": "gut"}
TIMES = {"": "", "today": "heute", "in the evening": "am Abend", "often": "oft"}
SUBJECT = {"m": "der {}e", "f": "die {}e", "n": "das {}e"}
OBJECT = {"m": "den {}en", "f": "die {}e", "n": "das {}e"}

Pair = tuple[list[str], list[str]]
START, END = 0, 1


def noun_phrases(cases: dict[str, str], adjective: str, noun: str) -> tuple[str, str]:
    """The English and the German phrase; the article and the adjective's ending depend on gender and case."""
    gender, german = NOUNS[noun].split()
    article = cases[gender] if adjective else cases[gender].split()[0]
    return f"the {adjective} {noun}", f"{article.format(ADJECTIVES[adjective])} {german}"


def sentence(
    subject: str, verb: str, object: str, time: str, of_subject: str, of_object: str, negated: bool, perfect: bool
) -> Pair:
    """An English and a German sentence about who does what to whom, with an adjective of each or ""."""
    who, wer = noun_phrases(SUBJECT, of_subject, subject)
    whom, wen = noun_phrases(OBJECT, of_object, object)
    now, done, jetzt, getan = VERBS[verb].split()
    english = f"has {'not' * negated} {done}" if perfect else f"does not {verb}" if negated else now
    finite, last = ("hat", getan) if perfect else (jetzt, "")
    german = f"{TIMES[time]} {finite} {wer}" if time else f"{wer} {finite}"
    return (
        f"{time} {who} {english.replace('_', ' ')} {whom}".split(),
        f"{german} {wen} {'nicht' * negated} {last}".split(),
    )


def make_data(seed: int, training: int, test: int) -> tuple[list[Pair], list[Pair]]:
    """Training and test sentences: each subject, verb and object together belong to one of the two."""
    rng = np.random.default_rng(seed)
    facts = [(a, verb, b) for a, verb, b in product(NOUNS, VERBS, NOUNS) if a != b]
    facts = [facts[i] for i in rng.permutation(len(facts))]
    cut = len(facts) // 5

    def draw(count: int, some: list[tuple[str, str, str]]) -> list[Pair]:
        times, adjectives = list(TIMES), list(ADJECTIVES)
        chosen = rng.integers([len(some), len(times), len(adjectives), len(adjectives), 10, 2], size=(count, 6))
        return [
            sentence(*some[fact], times[time], adjectives[a], adjectives[b], negated < 3, perfect == 1)
            for fact, time, a, b, negated, perfect in chosen.tolist()
        ]

    return draw(training, facts[cut:]), draw(test, facts[:cut])


def numbered(sentences: list[list[str]]) -> dict[str, int]:
    """A number for every word."""
    words = sorted({word for sentence in sentences for word in sentence})
    return {word: at for at, word in enumerate(["<start>", "<end>", *words])}


class Translator:
    """An encoder and a decoder, and the words of both languages."""

    def __init__(self, pairs: list[Pair], seed: int, units: int = 96) -> None:
        rng = np.random.default_rng(seed)
        self.english, self.german = numbered([a for a, _ in pairs]), numbered([b for _, b in pairs])
        self.words = list(self.german)
        self.encoder = fr.nn.Sequential(fr.nn.Embedding(len(self.english), 32, rng=rng), fr.GRU(32, units, rng=rng))
        self.decoder = fr.nn.Sequential(
            fr.nn.Embedding(len(self.german), 32, rng=rng),
            fr.GRU(32, units, rng=rng),
            fr.nn.Linear(units, len(self.german), rng=rng),
        )
        self.model = fr.nn.EncoderDecoder(self.encoder, self.decoder)

    def train(self, pairs: list[Pair], epochs: int, seed: int, batch: int = 32) -> list[float]:
        """Teacher forcing; the loss of every step."""
        rng = np.random.default_rng(seed)
        steps = -(-len(pairs) // batch)

        def batches(epoch: int):
            for rows in np.array_split(rng.permutation(len(pairs)), steps):
                x, x_lengths = fr.nn.pad([[self.english[word] for word in pairs[i][0]] for i in rows])
                y, lengths = fr.nn.pad([[START, *(self.german[word] for word in pairs[i][1]), END] for i in rows], END)
                yield (x, y[:-1]), y[1:], (x_lengths, lengths - 1)

        optimiser, rate = fr.optim.Adam(self.model.params, lr=5e-3), fr.optim.cosine(epochs * steps, final=0.02)
        return fr.fit(self.model, batches, optimiser, epochs=epochs, schedule=rate, progress=False).loss

    def encode(self, sentences: list[list[str]]) -> tuple:
        """The state after each sentence."""
        tokens, lengths = fr.nn.pad([[self.english[word] for word in words] for words in sentences])
        return self.encoder(tokens, lengths=lengths)[1]

    def greedy(self, sentences: list[list[str]], longest: int = 20) -> list[list[str]]:
        """All sentences at once: the likeliest word each time."""
        state, tokens = self.encode(sentences), np.full((1, len(sentences)), START)
        steps = []
        for _ in range(longest):
            logits, state = self.decoder(tokens, state)
            tokens = logits.argmax(-1)
            steps.append(tokens[0])
        rows = np.stack([*steps, np.full(len(sentences), END)], axis=1)
        return [[self.words[token] for token in row[: row.tolist().index(END)]] for row in rows]

    def beam(self, words: list[str], width: int = 4, longest: int = 20) -> list[tuple[float, list[str]]]:
        """The best translations of one sentence, and the logarithms of their probabilities."""
        (h,) = self.encode([words])
        open_, finished = [(0.0, [START])], []
        for _ in range(longest):
            logits, (h,) = self.decoder(np.array([[row[-1] for _, row in open_]]), (h,))
            top = logits[0].max(-1, keepdims=True)
            scores = logits[0] - top - np.log(np.exp(logits[0] - top).sum(-1, keepdims=True))
            scores += np.array([[score] for score, _ in open_], scores.dtype)
            grown = [divmod(int(i), scores.shape[1]) for i in np.argsort(-scores, axis=None, kind="stable")[:width]]
            made = [(float(scores[of, token]), [*open_[of][1], token], of) for of, token in grown]
            finished += [(score, row) for score, row, _ in made if row[-1] == END]
            still = [found for found in made if found[1][-1] != END]
            if not still or len(finished) >= width:
                break
            h = np.ascontiguousarray(h[:, [of for _, _, of in still]])
            open_ = [(score, row) for score, row, _ in still]
        best = sorted(finished or open_, reverse=True)[:width]
        return [(score, [self.words[token] for token in row if token not in (START, END)]) for score, row in best]


def dictionary(pairs: list[Pair], sentences: list[list[str]]) -> list[list[str]]:
    """The baseline: for each English word the German one that comes with it more often than its share (Dice)."""
    together = Counter((a, b) for english, german in pairs for a, b in product(set(english), set(german)))
    alone = Counter(word for pair in pairs for side in pair for word in set(side))
    best: dict[str, tuple[float, str]] = {}
    for (a, b), count in sorted(together.items()):
        best[a] = max(best.get(a, (0.0, "")), (2 * count / (alone[a] + alone[b]), b))
    return [[best[word][1] for word in words] for words in sentences]


def exact(answers: list[list[str]], pairs: list[Pair]) -> float:
    """The share of sentences that are right in every word."""
    return sum(answer == german for answer, (_, german) in zip(answers, pairs, strict=True)) / len(pairs)


def run(seed: int = 0, training: int = 10000, test: int = 400, epochs: int = 12) -> dict:
    """Train, translate the test sentences; the share that is right by each way."""
    pairs, test_pairs = make_data(seed, training, test)
    sources = [english for english, _ in test_pairs]
    translator = Translator(pairs, seed)
    translator.train(pairs, epochs, seed)
    answers = {
        "dictionary": dictionary(pairs, sources),
        "greedy": translator.greedy(sources),
        "beam of 4": [translator.beam(words)[0][1] for words in sources],
    }
    scores = {name: exact(answer, test_pairs) for name, answer in answers.items()}
    return {
        "metric": "exact sentences", "value": scores["beam of 4"], "baseline": scores["dictionary"],
        "scores": scores, "answers": answers, "pairs": test_pairs, "translator": translator,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=fr.get_num_threads())
    options = parser.parse_args(argv)
    if options.seed < 0 or options.threads < 1:
        parser.error("expected a seed of at least 0 and at least one thread")
    with fr.threads(options.threads):
        found = run(options.seed)
        for at, (english, german) in enumerate(found["pairs"][:6]):
            print(" ".join(english))
            for name in ("dictionary", "beam of 4"):
                right = "right" if found["answers"][name][at] == german else "wrong"
                print(f"  {name:<12}{right:<8}{' '.join(found['answers'][name][at])}")
        print("\nthe beam for the first of them")
        for score, words in found["translator"].beam(found["pairs"][0][0]):
            print(f"  {100 * np.exp(score):6.2f} %  {' '.join(words)}")
    print("\nsentences that are right in every word")
    for name, score in found["scores"].items():
        print(f"  {name:<12}{100 * score:5.1f} %")


if __name__ == "__main__":
    main()
