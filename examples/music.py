"""Compose melodies: one-to-many, from a single note to a tune, note by note.

    python examples/music.py [--seed N] [--temperature X] [--midi FILE] [--threads N]

A GRU reads folk tunes that are in the public domain, written below in ABC notation, and learns which note comes next:
its pitch and its length. It sees the note before and the place in the bar. To compose it is given its own notes.

It prints how many bits the held-out tunes take a note (each tune is held out once, in one of ten trainings), beside
the baseline, a first-order Markov chain of the same tunes; then three melodies of its own as note names. With --midi
the first of them goes into a file that any player plays.
"""

from __future__ import annotations

import argparse
import math
import struct
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

import fusedrnn as fr

TUNES = {
    "Ah! vous dirai-je, maman": "C2C2G2G2 A2A2G4 F2F2E2E2 D2D2C4 G2G2F2F2 E2E2D4 G2G2F2F2 E2E2D4 C2C2G2G2 A2A2G4 "
    "F2F2E2E2 D2D2C4",
    "Frère Jacques": "C2D2E2C2 C2D2E2C2 E2F2G4 E2F2G4 GAGFE2C2 GAGFE2C2 C2G,2C4 C2G,2C4",
    "Mary had a little lamb": "E2D2C2D2 E2E2E4 D2D2D4 E2G2G4 E2D2C2D2 E2E2E2E2 D2D2E2D2 C8",
    "London Bridge": "G3AG2F2 E2F2G4 D2E2F4 E2F2G4 G3AG2F2 E2F2G4 D4G4 E2C6",
    "Hänschen klein": "G2E2E4 F2D2D4 C2D2E2F2 G2G2G4 G2E2E4 F2D2D4 C2E2G2G2 C8 D2D2D2D2 D2E2F4 E2E2E2E2 E2F2G4 "
    "G2E2E4 F2D2D4 C2E2G2G2 C8",
    "Alle meine Entchen": "C2D2E2F2 G4G4 A2A2A2A2 G8 A2A2A2A2 G8 F2F2F2F2 E4E4 D2D2D2D2 C8",
    "Au clair de la lune": "C2C2C2D2 E4D4 C2E2D2D2 C8 C2C2C2D2 E4D4 C2E2D2D2 C8 D2D2D2D2 A,4A,4 D2C2B,2A,2 G,8 "
    "C2C2C2D2 E4D4 C2E2D2D2 C8",
    "Ode to Joy": "E2E2F2G2 G2F2E2D2 C2C2D2E2 E3DD4 E2E2F2G2 G2F2E2D2 C2C2D2E2 D3CC4 D2D2E2C2 D2EFE2C2 D2EFE2D2 "
    "C2D2G,4 E2E2F2G2 G2F2E2D2 C2C2D2E2 D3CC4",
    "When the saints": "z2C2E2F2 G8 z2C2E2F2 G8 z2C2E2F2 G4E4 C4E4 D8 E2E2D2C2 C4C4 E4G4 G2F6 E2F2G4 E4C4 D4C4 C8",
    "Jingle bells": "E2E2E4 E2E2E4 E2G2C3D E8 F2F2F3F F2E2E2EE E2D2D2E2 D4G4 E2E2E4 E2E2E4 E2G2C3D E8 F2F2F3F "
    "F2E2E2EE G2G2F2D2 C8",
    "Yankee Doodle": "C2C2D2E2 C2E2D2G,2 C2C2D2E2 C4B,4 C2C2D2E2 F2E2D2C2 B,2G,2A,2B,2 C4C4",
    "Fuchs, du hast die Gans gestohlen": "C2D2E2F2 G2G2G2G2 A2F2c2A2 G8 A2F2c2A2 G6G2 G2F2F2F2 F2E2E2E2 E2D2E2D2 "
    "C2E2G4 G2F2F2F2 F2E2E2E2 E2D2E2D2 C8",
    "Old MacDonald": "C2C2C2G,2 A,2A,2G,4 E2E2D2D2 C6G,2 C2C2C2G,2 A,2A,2G,4 E2E2D2D2 C8",
    "Sur le pont d'Avignon": "C2C2C4 D2D2D4 E2F2G2C2 B,2C2D2G,2 C2C2C4 D2D2D4 E2F2G2C2 D2B,2C4",
    "Tempus adest floridum": "C2C2C2D2 C2C2G,4 A,2G,2A,2B,2 C4C4 C2C2C2D2 C2C2G,4 A,2G,2A,2B,2 C4C4 G2F2E2D2 E2D2C4 "
    "A,2G,2A,2B,2 C4C4 G,2G,2A,2B,2 C2C2D4 G2F2E2D2 C4F4 C8",
    "Skip to my Lou": "E2E2C2C2 EEE2G4 D2D2B,2B,2 DDD2F4 E2E2C2C2 EEE2G4 D2EFE2D2 C4C4",
    "Go tell aunt Rhody": "E4E2D2 C4C4 D4D2F2 E2D2C4 G4G2F2 E4E4 D2C2D2E2 C8",
    "This old man": "G2E2G4 G2E2G4 A2G2F2E2 D2E2F2EF G2C2CCC2 CDEFG4 G2D2D2F2 E2D2C4",
    "Oh! Susanna": "z6CD E2G2G3A G2E2C3D E2E2D2C2 D6CD E2G2G3A G2E2C3D E2E2D2D2 C8 F4F4 A2A4A2 G2G2E2C2 D6CD E2G2G3A "
    "G2E2C3D E2E2D2D2 C8",
    "Winter ade": "G4E4 C8 F4D4 B,8 C2D2E2F2 G2A2G4 F2E2D2D2 C8",
}
"""In C major and bars of eight eighths: C is middle C, c an octave above, G, the G below; C2 is a quarter, z a rest."""

BAR = 8
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
Note = tuple[str, int]


def notes(tune: str) -> list[Note]:
    """The notes of a tune: pitch and length in eighths."""
    found: list[list[str]] = []
    for sign in tune.replace(" ", ""):
        if sign.isalpha():
            found.append([sign, ""])
        else:
            found[-1][sign.isdigit()] += sign
    return [(pitch, int(length or 1)) for pitch, length in found]


ALL = [notes(tune) for tune in TUNES.values()]
NOTES = sorted({note for tune in ALL for note in tune})
PITCHES = sorted({pitch for pitch, _ in NOTES})
LENGTHS = sorted({length for _, length in NOTES})
END = len(NOTES)
"""The token after the last note."""


def features(tune: list[Note]) -> np.ndarray:
    """What the network sees before each note and before the end: pitch and length before, place in the bar."""
    seen = np.zeros((len(tune) + 1, len(PITCHES) + len(LENGTHS) + BAR), np.float32)
    at = 0
    for step, (pitch, length) in enumerate(tune, 1):
        at += length
        seen[step, PITCHES.index(pitch)] = 1
        seen[step, len(PITCHES) + LENGTHS.index(length)] = 1
        seen[step, len(PITCHES) + len(LENGTHS) + at % BAR] = 1
    return seen


def tokens(tune: list[Note]) -> list[int]:
    return [*(NOTES.index(note) for note in tune), END]


def batch(tunes: list[list[Note]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and lengths of several tunes, padded with zeros."""
    x, lengths = fr.nn.pad([features(tune) for tune in tunes])
    return x, fr.nn.pad([tokens(tune) for tune in tunes])[0], lengths


def train(tunes: list[list[Note]], steps: int, seed: int, units: int = 32) -> fr.nn.Sequential:
    rng = np.random.default_rng(seed)
    model = fr.nn.Sequential(
        fr.nn.Dropout(0.15, rng=rng),
        fr.GRU(features([]).shape[1], units, rng=rng),
        fr.nn.Dropout(0.3, rng=rng),
        fr.nn.Linear(units, END + 1, rng=rng),
    )
    optimiser = fr.optim.AdamW(model.params, 1e-2, weight_decay=1.0)
    fr.fit(model, [batch(tunes)], optimiser, steps=steps, clip_norm=1.0, progress=False)
    return model


def bits(model: fr.nn.Sequential, held_out: list[list[Note]]) -> float:
    """The bits that the held-out tunes take, given all before each note."""
    x, targets, lengths = batch(held_out)
    return model.loss(x, targets, lengths=lengths)[0] * sum(lengths) / math.log(2)


def compose(model: fr.nn.Sequential, first: Note, temperature: float, seed: int, longest: int = 64) -> list[Note]:
    """A tune that begins with the note `first`, drawn note by note. A low temperature takes the likeliest notes."""
    rng = np.random.default_rng(seed)
    _, gru, _, head = model
    stream, tune = gru.stream(), [first]
    stream.step(features([])[:1])
    while len(tune) < longest:
        logits = head(stream.step(features(tune)[-1:]))[0].astype(np.float64) / temperature
        p = np.exp(logits - logits.max())
        token = int((p.cumsum() < rng.random() * p.sum()).sum())
        if token == END:
            break
        tune.append(NOTES[token])
    return tune


def markov(tunes: list[list[Note]]) -> Callable[[int, int], float]:
    """The baseline: the probability of a token after another (END before the first), smoothed as Witten and Bell do."""
    pairs = Counter(pair for tune in tunes for pair in pairwise([END, *tokens(tune)]))
    before, alone = Counter(a for a, _ in pairs.elements()), Counter(b for _, b in pairs.elements())
    kinds = Counter(a for a, _ in pairs)

    def probability(a: int, b: int) -> float:
        share = (alone[b] + len(alone) / (END + 1)) / (alone.total() + len(alone))
        return (pairs[a, b] + kinds[a] * share) / (before[a] + kinds[a]) if before[a] else share

    return probability


def markov_bits(tunes: list[list[Note]], held_out: list[list[Note]]) -> float:
    """The bits that the held-out tunes take by the chain."""
    probability = markov(tunes)
    return -sum(math.log2(probability(a, b)) for tune in held_out for a, b in pairwise([END, *tokens(tune)]))


def abc(tune: list[Note]) -> str:
    """The note names, bar by bar."""
    text, at = "", 0
    for pitch, length in tune:
        text += pitch + (str(length) if length > 1 else "")
        at += length
        text += " | " if at % BAR == 0 else " "
    return text.strip()


def midi(tune: list[Note], seconds_per_eighth: float = 0.2) -> bytes:
    """The tune as a MIDI file of one track, in ticks of a hundredth of an eighth."""
    events, wait = b"\x00\xff\x51\x03" + int(2e6 * seconds_per_eighth).to_bytes(3, "big"), 0
    for pitch, length in tune:
        if pitch == "z":
            wait += 100 * length
            continue
        key = 60 + SEMITONES[pitch[0].upper()] + 12 * pitch[0].islower() - 12 * pitch.count(",")
        events += after(wait) + bytes([0x90, key, 90]) + after(100 * length) + bytes([0x80, key, 0])
        wait = 0
    events += after(wait) + b"\xff\x2f\x00"
    return struct.pack(">4sIHHH4sI", b"MThd", 6, 0, 1, 200, b"MTrk", len(events)) + events


def after(ticks: int) -> bytes:
    """A time in MIDI's form: seven bits a byte, the highest bit says that another follows."""
    found = bytes([ticks & 127])
    while ticks := ticks >> 7:
        found = bytes([ticks & 127 | 128]) + found
    return found


def run(seed: int = 0, temperature: float = 0.7, folds: int = 10, steps: int = 80) -> dict:
    """Bits a note of held-out tunes, by the network and by the chain; three tunes of a network that read all."""
    found, chain = 0.0, 0.0
    for fold in range(folds):
        training = [tune for at, tune in enumerate(ALL) if at % folds != fold]
        found += bits(train(training, steps, seed), ALL[fold::folds])
        chain += markov_bits(training, ALL[fold::folds])
    count = sum(len(tune) + 1 for tune in ALL)
    composer = train(ALL, 5 * steps // 2, seed, units=64)
    tunes = [compose(composer, ("G", 2), temperature, seed + at) for at in range(3)]
    return {"metric": "bits a note", "value": found / count, "baseline": chain / count, "tunes": tunes}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=0.7, help="1 as it learned, less for calmer tunes")
    parser.add_argument("--midi", type=Path, help="a file to write the first melody to")
    parser.add_argument("--threads", type=int, default=fr.get_num_threads())
    options = parser.parse_args(argv)
    if options.seed < 0 or options.threads < 1:
        parser.error("expected a seed of at least 0 and at least one thread")
    if not options.temperature > 0:
        parser.error("argument --temperature: expected a number above 0")
    with fr.threads(options.threads):
        found = run(options.seed, options.temperature)
    print("\n\n".join(map(abc, found["tunes"])))
    if options.midi:
        options.midi.write_bytes(midi(found["tunes"][0]))
    print("\nbits a note of held-out tunes")
    print(f"  Markov chain  {found['baseline']:.2f}\n  GRU           {found['value']:.2f}")


if __name__ == "__main__":
    main()
