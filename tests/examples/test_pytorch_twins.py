"""The jobs of `pytorch/` run and learn, and a tagger that PyTorch trained tags the same words here.

Without torch these tests are skipped, except under CI, which installs it: there a missing torch is a failure.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

if os.environ.get("CI"):
    import torch
else:
    torch = pytest.importorskip("torch", reason="torch is not installed: the jobs in PyTorch are not run")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import policy
import tagging
import translate


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models as small as these are quickest so, above all on a machine that others use."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def twin(name: str) -> ModuleType:
    """A file of `pytorch/`, which may be called as an example is."""
    path = Path(__file__).resolve().parent / "pytorch" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"pytorch_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tagger_and_its_weights_here() -> None:
    theirs = twin("tagging")
    training, test = tagging.make_data(0, 600, 100)
    index = tagging.vocabulary(training)
    words = [words for words, _ in test]
    for bidirectional in (True, False):
        torch.manual_seed(0)
        model = theirs.Tagger(1 + len(index), bidirectional)
        theirs.train(model, training, index, 5, 0)
        state = model.state_dict()
        answers = theirs.tag(theirs.from_state(state), index, words)
        score = tagging.f1(answers, test)
        assert score > tagging.f1(tagging.most_frequent(training, test), test)

        ours = tagging.from_torch(state)
        np.testing.assert_array_equal(ours.params["1.weight_hh_l0"], state["lstm.weight_hh_l0"])
        tokens = np.array([[index.get(word, 0)] for word in words[0]])
        with torch.no_grad():
            logits = model(torch.from_numpy(tokens), [len(tokens)]).numpy()
        np.testing.assert_allclose(ours(tokens)[0], logits, rtol=1e-4, atol=1e-5)
        assert tagging.tag(ours, index, words) == answers
        assert tagging.f1(tagging.tag(ours, index, words), test) == score


def test_a_state_of_another_network_is_refused() -> None:
    state = twin("tagging").Tagger(5, True).state_dict()
    del state["head.bias"]
    with pytest.raises(ValueError, match=r"missing: 2\.bias"):
        tagging.from_torch(state)


def test_translator() -> None:
    theirs = twin("translate")
    pairs, test = translate.make_data(0, 300, 5)
    translator = theirs.Translator(pairs, 0)
    losses = translator.train(pairs, 2, 0)
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    sources = [english for english, _ in test]
    greedy = translator.greedy(sources)
    assert len(greedy) == 5
    assert translator.beam(sources[0], width=1)[0][1] == greedy[0]
    assert len(translator.beam(sources[0])) >= 1


def test_policy() -> None:
    theirs = twin("policy")
    walker = theirs.Policy(True, 0)
    walker.train_on(60)
    with torch.no_grad():
        assert policy.success(walker, 4) > 0.65


def test_sentiment() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn, which examples/sentiment.py compares with, is not installed")
    sentiment = pytest.importorskip("sentiment")
    theirs = twin("sentiment")
    rng = np.random.default_rng(0)
    sentences = [sentiment.sentence(rng, held_out=False) for _ in range(320)]
    truth = np.array([praise for _, praise in sentences])
    for encoding, share in (("embeddings", 0.7), ("one-hot", 0.7), ("numbers", 0.5)):
        judge = theirs.Judge(encoding, 0)
        judge.learn(sentences, 0)
        said = judge.praise([words for words, _ in sentences])
        assert ((said > 0.5) == truth).mean() > share, encoding


def test_forecast() -> None:
    series = torch.sin(torch.arange(300) / 5)[:, None, None]
    forecaster = twin("forecast").Forecaster(0)
    forecaster.learn(series[:250], 150)
    wanted = series[250:270]
    for found in (forecaster.next_values(series[:271])[249:269], forecaster.go_on(series[:250], 20)):
        assert (found - wanted).abs().mean() < 0.5 * (series[249] - wanted).abs().mean()
