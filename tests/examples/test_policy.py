"""`examples/policy.py`: memory solves the maze; a stream, a call with resets and one call per episode agree."""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import policy


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return policy.run()


def test_only_memory_helps(found: dict[str, Any]) -> None:
    assert found["value"] > 0.9 > 0.65 > found["baseline"]
    assert min(found["right"]["with memory"].values()) > 0.9
    assert max(found["right"]["without memory"].values()) < 0.65


def test_steps_of_a_stream_are_a_call_with_resets() -> None:
    walker = policy.Policy(memory=True, seed=3)
    seen, done, _, begins = walker.play(policy.Mazes(5, (1, 3), walker.rng), 30)
    assert begins[0].all()
    assert begins[1:].any()
    gru, head = walker.model
    stream = gru.stream(5)
    stepped = []
    for x, begin in zip(seen, begins, strict=True):
        stream.reset(begin)
        stepped.append(head(stream.step(x)))
    logits, _ = walker.model(seen, reset=begins)
    np.testing.assert_array_equal(np.array(stepped), logits)
    first = int(begins[1:, 0].argmax()) + 1
    np.testing.assert_array_equal(walker.model(seen[:first, 0])[0], logits[:first, 0])
    assert set(done.flat) <= {0, 1, 2}


def test_gradients_of_rows_with_resets_are_those_of_their_episodes() -> None:
    walker = policy.Policy(memory=True, seed=4)
    seen, done, _, begins = walker.play(policy.Mazes(1, (1, 2), walker.rng), 25)
    advantage = np.random.default_rng(0).standard_normal(25).astype(np.float32)

    def gradients(part: slice, reset: np.ndarray | None) -> dict[str, np.ndarray]:
        weights = advantage[part, np.newaxis] * len(advantage[part])
        loss = partial(fr.nn.cross_entropy, weights=weights)
        return walker.model.record_loss(seen[part], done[part], loss, reset=reset)[2].backward().params

    together = gradients(slice(None), begins)
    edges = [*np.flatnonzero(begins[:, 0]), 25]
    assert len(edges) > 3
    apart = [gradients(slice(a, b), None) for a, b in pairwise(edges)]
    for name, array in together.items():
        np.testing.assert_allclose(array, sum(part[name] for part in apart), rtol=1e-4, atol=1e-5, err_msg=name)


def test_mazes() -> None:
    mazes = policy.Mazes(2, (2, 2), np.random.default_rng(0))
    signs = mazes.sign.copy()
    np.testing.assert_array_equal(mazes.look().argmax(1), signs)
    assert mazes.step(np.array([0, 1])).tolist() == [0, -0.1]
    assert mazes.look().argmax(1).tolist() == [2, signs[1]]
    assert mazes.step(np.array([0, 0])).tolist() == [0, 0]
    assert mazes.look().argmax(1).tolist() == [3, 2]
    assert not mazes.begins.any()
    assert mazes.step(np.array([1 + signs[0], 0])).tolist() == [1, 0]
    assert mazes.begins.tolist() == [True, False]
    assert mazes.place.tolist() == [0, 2]
    assert mazes.step(np.array([0, 2 - signs[1]])).tolist() == [0, -1]


def test_returns() -> None:
    rewards = np.array([[0.0], [1.0], [0.0], [2.0]])
    begins = np.array([[True], [False], [True], [False]])
    assert policy.returns(rewards, begins, discount=0.5).ravel().tolist() == [0.5, 1, 1, 2]


def test_any_number_of_threads_gives_the_same_bits() -> None:
    def params(threads: int) -> dict[str, np.ndarray]:
        walker = policy.Policy(memory=True, seed=5)
        with fr.threads(threads):
            walker.train(3)
        return dict(walker.model.params)

    one, two = params(1), params(2)
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def test_main_prints_walks_and_shares(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policy, "run", lambda seed: found)
    policy.main(["--threads", "1"])
    printed = capsys.readouterr().out
    assert "sign " in printed
    assert "with memory" in printed
