"""What a part, model, loss or initial value refuses begins with the argument's name, and changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import PARTS, POOLINGS, STEPS, WIDTH, check_same_bits, draw, nn, tokens

Call = Callable[[], Any]
X = draw(STEPS, 4, WIDTH, dtype=np.float32)
Y = draw(STEPS, 4, 3, dtype=np.float32)
T = tokens(STEPS, 4)
NUMBERS: list[Any] = [None, "a", [1.0], True, float("nan"), -1.0, float("inf")]


def constructors() -> list[tuple[str, Call]]:
    found: list[tuple[str, Call]] = []
    for size in (0, -1, 2**31, 1.5, None, "a", True):
        found += [
            ("in_features", lambda size=size: nn.Linear(size, 3)),
            ("out_features", lambda size=size: nn.Linear(3, size)),
            ("num_embeddings", lambda size=size: nn.Embedding(size, 3)),
            ("embedding_dim", lambda size=size: nn.Embedding(3, size)),
        ]
    for index in (-1, 3, 0.5, True, "a"):
        found.append(("padding_idx", lambda index=index: nn.Embedding(3, 2, index)))
    for p in (-0.1, 1.1, None, "a", True, float("nan")):
        found.append(("p", lambda p=p: nn.Dropout(p)))
    for wrong in (1, 0, None, "yes", np.ones(2, bool)):
        found += [
            ("bias", lambda wrong=wrong: nn.Linear(2, 3, wrong)),
            ("bidirectional", lambda wrong=wrong: nn.LastStep(bidirectional=wrong)),
            *(("batch_first", lambda w=wrong, k=k: getattr(nn, k)(batch_first=w)) for k in ("LastStep", "MaxPool")),
        ]
    for dtype in (np.int32, np.float16, "nothing", None, ">f4"):
        found += [("dtype", lambda d=dtype, k=k: getattr(nn, k)(dtype=d)) for k in ("Dropout", "Tanh", "MeanPool")]
        found += [("dtype", lambda d=dtype, k=k: getattr(nn, k)(2, 3, dtype=d)) for k in ("Linear", "Embedding")]
    for rng in (-1, 1.5, "a", True):
        found += [("rng", lambda rng=rng: nn.Linear(2, 3, rng=rng)), ("rng", lambda rng=rng: nn.Dropout(rng=rng))]
    part = nn.Tanh()
    cell = fr.GRUCell(3, 3)
    found += [
        ("parts", nn.Sequential),
        ("parts", lambda: nn.Sequential(3)),
        ("parts", lambda: nn.Sequential([part])),
        ("parts", lambda: nn.Sequential(cell)),
        ("parts", lambda: nn.Sequential(part, part)),
        ("parts", lambda: nn.Sequential(part, nn.Residual(nn.Sequential(part)))),
        ("parts", lambda: nn.Sequential(nn.Tanh(), nn.Tanh(dtype=np.float64))),
        ("parts", lambda: nn.Sequential(fr.GRU(2, 2), nn.LastStep(batch_first=True))),
        ("part", lambda: nn.Residual(None)),
        ("part", lambda: nn.Residual(cell)),
        ("join", lambda: nn.Residual(part, "multiply")),
        ("join", lambda: nn.Residual(part, None)),
    ]
    return found


def inputs() -> list[tuple[str, Call]]:
    found: list[tuple[str, Call]] = []
    for name, make in PARTS.items():
        part = make(np.float32)
        wrong: list[Any] = [None, X.tolist(), X.astype(np.float64), X.astype(int), X.astype(complex)]
        if name.startswith("linear"):
            wrong += [X[..., :-1], X[0, 0, 0].reshape(())]
        if name in POOLINGS:
            wrong += [X[0, 0], X[None], X[:0]]
        if name == "last step of two directions":
            wrong.append(X[..., 1:])
        found += [("x", lambda p=part, x=x, r=r: (p.record if r else p)(x)) for x in wrong for r in (False, True)]
        if name in POOLINGS:
            short, values = ([1, 2], [[1]] * 4), ([1, 2, 3, 9], [1, 2, 3, -1])
            for lengths in (*short, *values, [1.0] * 4, "abcd", [True] * 4, [[1], [1, 2]]):
                found.append(("lengths", lambda p=part, n=lengths: p.record(X, lengths=n)))
            found.append(("lengths", lambda p=part: p(X[:, 0], lengths=[3])))
    embedding = nn.Embedding(3, 2)
    for x in (T + 1, T - 1, X, True, None, "a", [[1], [1, 2]], np.array([2**64 - 1], np.uint64), np.array([1 + 2j])):
        found += [("x", lambda x=x: embedding(x)), ("x", lambda x=x: embedding.record(x))]
    return found


def models() -> list[tuple[str, Call]]:
    model = nn.Sequential(fr.GRU(WIDTH, 5), nn.Linear(5, 3))
    alone = nn.Sequential(nn.Linear(WIDTH, 3))
    residual = nn.Residual(nn.Linear(WIDTH, 3))
    found: list[tuple[str, Call]] = [("part", lambda: residual(X))]
    for x in (None, X.tolist(), X.astype(np.float64), X[..., 1:]):
        for one in (model, alone, residual):
            found += [("x", lambda m=one, x=x: m(x)), ("x", lambda m=one, x=x: m.record(x))]
        found += [("x", lambda m=one, x=x: m.record_loss(x, T)) for one in (model, alone)]
        found += [("x", lambda m=one, x=x: m.loss(x, T)) for one in (model, alone)]
    for state in ((), (1, 2), [1], "a", np.zeros((1, 4, 5)), (np.zeros((1, 4, 5)),), (np.zeros((1, 4), np.float32),)):
        found += [("state", lambda s=state: model(X, s)), ("state", lambda s=state: model.record_loss(X, T, state=s))]
    for lengths in ([1, 2], [1, 2, 3, 9], [1.0] * 4, "a"):
        found += [("lengths", lambda n=lengths: model.record_loss(X, T, lengths=n))]
        found += [("lengths", lambda n=lengths: alone.record_loss(X, T, lengths=n))]
    for reset in (T, np.zeros((3, 4), bool), "a"):
        found.append(("reset", lambda r=reset: model.record_loss(X, T, reset=r)))
    for targets in (T[1:], T + 1, T.astype(float), "a", None, [[1], [1, 2]]):
        found += [("targets", lambda t=targets: model.record_loss(X, t))]
        found += [("targets", lambda t=targets: model.loss(X, t))]
    found += [("loss", lambda: model.record_loss(X, T, "mse")), ("loss", lambda: alone.loss(X, T, None))]
    return found


def losses() -> list[tuple[str, Call]]:
    found: list[tuple[str, Call]] = []
    elementwise = (nn.binary_cross_entropy, nn.mse, nn.huber)
    for loss, targets in ((nn.cross_entropy, T), *((loss, np.abs(Y) / 9) for loss in elementwise)):
        for y in (None, Y.tolist(), Y.astype(int), Y.astype(np.float16), Y.astype(">f4")):
            found.append(("y", lambda f=loss, y=y, t=targets: f(y, t)))
        wrong = (targets[1:], "a", None, [[1], [1, 2]], targets.astype(complex), targets.astype("M8[s]"))
        found += [("targets", lambda f=loss, t=t: f(Y, t)) for t in wrong]
        for lengths in ([1, 2], [1, 2, 3, 9], [1, 2, 3, -1], [1.0] * 4, "a", [[1]] * 4):
            found.append(("lengths", lambda f=loss, n=lengths, t=targets: f(Y, t, lengths=n)))
        found.append(("lengths", lambda f=loss, t=targets: f(Y[0, 0], t[0, 0], lengths=[1])))
        found.append(("batch_first", lambda f=loss, t=targets: f(Y, t, batch_first="yes")))
    found += [("targets", lambda t=t: nn.cross_entropy(Y, t)) for t in (T + 1, T - 1, T.astype(bool), T.astype(float))]
    found += [("targets", lambda t=t: nn.binary_cross_entropy(Y, t)) for t in (Y + 2, Y - 9)]
    found += [("y", lambda: nn.cross_entropy(Y[..., :0], T)), ("y", lambda: nn.cross_entropy(np.asarray(1.0), 0))]
    for weights in ([1, 2], [1, 2, -1], [1, 2, np.nan], [1, 2, np.inf], "abc", [[1], [1, 2]], [None] * 3, [True] * 3):
        found.append(("class_weights", lambda w=weights: nn.cross_entropy(Y, T, class_weights=w)))
    for weights in (Y, T[1:], [[1], [1, 2]], "abc", T.astype(bool), np.full(T.shape, np.nan), np.full(T.shape, 1e39)):
        found.append(("weights", lambda w=weights: nn.cross_entropy(Y.astype("f4"), T, weights=w)))
    found += [("ignore", lambda i=i: nn.cross_entropy(Y, T, ignore=i)) for i in (1.5, "a", True, [1])]
    found += [("delta", lambda d=d: nn.huber(Y, Y, delta=d)) for d in (*NUMBERS, 0)]
    return found


def initial_values() -> list[tuple[str, Call]]:
    fixed = np.zeros((4, 4), np.float32)
    fixed.flags.writeable = False
    init = nn.init
    every = (init.orthogonal, init.glorot_uniform, init.glorot_normal, init.identity)
    wrong: tuple[Any, ...] = (None, [[1.0]], np.zeros((4, 4), int), np.zeros(4), np.zeros((0, 4)), fixed)
    found: list[tuple[str, Call]] = [("weight", lambda f=f, w=w: f(w)) for f in every for w in wrong]
    found += [("weight", lambda: init.identity(np.zeros((4, 3))))]
    found += [("weight", lambda: init.orthogonal(np.zeros((4, 3)), gates=3))]
    found += [("gates", lambda f=f, g=g: f(np.zeros((4, 4)), gates=g)) for f in every[:3] for g in (0, 1.5, "a")]
    found += [("gain", lambda f=f, g=g: f(np.zeros((4, 4)), g)) for f in (every[0], every[3]) for g in NUMBERS]
    found += [("rng", lambda f=f: f(np.zeros((4, 4)), rng="a")) for f in every[:3]]
    lstm = fr.LSTM(2, 3)
    for layer in (fr.GRU(2, 3), fr.LSTM(2, 3, bias=False), None):
        found.append(("layer", lambda layer=layer: init.forget_bias(layer)))
    found += [("value", lambda v=v: init.forget_bias(lstm, v)) for v in NUMBERS if v != -1.0]
    return found


@pytest.mark.parametrize("cases", [constructors, inputs, models, losses, initial_values])
def test_refused_by_name(cases: Callable[[], list[tuple[str, Call]]]) -> None:
    wrong = []
    for k, (name, call) in enumerate(cases()):
        try:
            call()
        except (ValueError, TypeError) as error:
            if not str(error).startswith((f"{name}:", f"{name} (")):
                wrong.append(f"{k} {name}: {error!r}")
        except BaseException as error:
            wrong.append(f"{k} {name}: {error!r}")
        else:
            wrong.append(f"{k} {name}: no error")
    assert not wrong, "\n".join(wrong)


def test_a_call_that_fails_draws_nothing() -> None:
    model = nn.Sequential(
        nn.Dropout(0.5, rng=0), nn.Residual(nn.Sequential(nn.Dropout(0.5, rng=1))), nn.Linear(WIDTH, 3, rng=2)
    )
    twin = copy.deepcopy(model)
    wrong: list[Call] = [
        partial(model.record_loss, X, T + 1),
        partial(model.record_loss, X, T[1:]),
        partial(model.record_loss, X, T, lambda y, t: nn.mse(y, "a")),
        partial(model.record, X[..., 1:]),
        partial(nn.Sequential(*model.parts[:2]).record, X.astype(int)),
    ]
    for call in wrong:
        with pytest.raises((ValueError, TypeError)):
            call()
    ours, theirs = model.record(X)[0], twin.record(X)[0]
    check_same_bits({"y": ours}, {"y": theirs})
