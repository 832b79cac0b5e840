"""A Linear tied to an Embedding: one parameter, whose gradient is the sum of what both give."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr
from nn_cases import check_same_bits, check_slopes, nn, tokens

WORDS, WIDTH = 7, 4


def make(within: bool = False, bias: bool = True, dtype: Any = np.float64, seed: int = 0, **options: Any) -> Any:
    rng = np.random.default_rng(seed)
    embedding = nn.Embedding(WORDS, WIDTH, dtype=dtype, rng=rng, **options)
    first = nn.Sequential(embedding, nn.Residual(fr.RNN(WIDTH, WIDTH, dtype=dtype, rng=rng))) if within else embedding
    head = nn.Linear(WIDTH, WORDS, bias, tied_to=embedding, dtype=dtype, rng=rng)
    return nn.Sequential(first, fr.GRU(WIDTH, WIDTH, dtype=dtype, rng=rng), head)


def unfused(y: Any, targets: Any, **options: Any) -> Any:
    return nn.cross_entropy(y, targets, **options)


@pytest.mark.parametrize("loss", [nn.cross_entropy, unfused])
@pytest.mark.parametrize("rows", [2, 20], ids=["vectors", "folded"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("within", [False, True])
def test_slopes(within: bool, bias: bool, rows: int, loss: Any) -> None:
    model, x, targets = make(within, bias), tokens(3, rows, count=WORDS), tokens(3, rows, count=WORDS, seed=1)
    found = model.record_loss(x, targets, loss)[2].backward()
    assert list(found.params) == list(model.params)
    for name, gradient in found.params.items():
        check_slopes(name, lambda: model.loss(x, targets, loss)[0], model.params[name], gradient)


def test_slopes_of_an_encoder_and_a_decoder() -> None:
    rng = np.random.default_rng(0)
    encoder = nn.Sequential(nn.Embedding(5, WIDTH, dtype=np.float64, rng=rng), fr.GRU(WIDTH, WIDTH, dtype=np.float64))
    model = nn.EncoderDecoder(encoder, make())
    x, targets = (tokens(4, 2, count=5), tokens(3, 2, count=WORDS)), tokens(3, 2, count=WORDS, seed=1)
    found = model.record_loss(x, targets)[2].backward()
    assert list(found.params) == list(model.params)
    name = "decoder.0.weight"
    check_slopes(name, lambda: model.loss(x, targets)[0], model.params[name], found[name])
    both = {**model.params, "decoder.2.weight": model.params[name] + 1}
    with pytest.raises(ValueError, match=r"^decoder.2.weight: expected the values of decoder.0.weight"):
        model.load_params(both)
    model.load_params({**both, name: both["decoder.2.weight"]})
    np.testing.assert_array_equal(model.params[name], both["decoder.2.weight"])


def test_it_is_one_parameter(tmp_path: Path) -> None:
    """Counted once, updated once by the sum, saved once; the output sees it."""
    model = make(dtype=np.float32)
    assert [name for name in model.params if "weight" in name and "_" not in name] == ["0.weight"]
    assert model.num_params == WORDS * WIDTH + model[1].num_params + WORDS
    x, targets = tokens(3, 2, count=WORDS), tokens(3, 2, count=WORDS, seed=1)
    gradient = model.record_loss(x, targets)[2].backward()["0.weight"]
    expected = model.params["0.weight"] - gradient
    fr.fit(model, [(x, targets)], fr.optim.SGD(model.params, lr=1.0), steps=1)
    np.testing.assert_array_equal(model.params["0.weight"], expected)
    h = model[1](model[0](x))[0]
    np.testing.assert_allclose(model(x)[0], h @ expected.T + model.params["2.bias"], rtol=1e-5, atol=1e-6)
    stream = model.stream(2)
    np.testing.assert_array_equal(np.array([stream.step(row) for row in x]), model(x)[0])
    assert "Linear(4, 7, tied_to=Embedding(7, 4))" in repr(model)
    pytest.importorskip("safetensors")
    model.save(tmp_path / "model.safetensors")
    other = make(dtype=np.float32, seed=5)
    other.load(tmp_path / "model.safetensors")
    check_same_bits(dict(other.params), dict(model.params))
    np.testing.assert_array_equal(other(x)[0], model(x)[0])


def test_a_state_dict_may_have_both_names() -> None:
    weight = np.random.default_rng(1).standard_normal((WORDS, WIDTH))
    for within in (False, True):
        outer = nn.Sequential(make(within), nn.Tanh(dtype=np.float64))
        name = "0.0.0.weight" if within else "0.0.weight"
        rest = {other: array.copy() for other, array in outer.params.items() if other != name}
        for given in ({name: weight}, {"0.2.weight": weight}, {name: weight, "0.2.weight": weight.copy()}):
            outer.params[name][...] = 0
            outer.load_params(rest | given)
            np.testing.assert_array_equal(outer.params[name], weight)
        with pytest.raises(ValueError, match=r"^0.2.weight: expected the values of"):
            outer.load_params(rest | {name: weight, "0.2.weight": weight + 1})
        with pytest.raises(ValueError, match=r"missing: "):
            outer.load_params(rest)
        np.testing.assert_array_equal(outer.params[name], weight)


def test_copies_are_tied_in_themselves() -> None:
    model = make()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other[2].tied_to is other[0]
        assert other[0] is not model[0]
        other.params["0.weight"][...] = 0
        assert not (other(tokens(2, 2, count=WORDS))[0] - other.params["2.bias"]).any()
    assert model.params["0.weight"].any()


def test_the_row_of_padding_learns_from_the_output_only() -> None:
    model, other = make(padding_idx=2), make(padding_idx=2)
    x, targets = tokens(3, 9, count=WORDS), tokens(3, 9, count=WORDS, seed=1)
    assert (x == 2).any()
    found = model.record_loss(x, targets)[2].backward()["0.weight"]
    h, _ = other[1](other[0](x))
    _, dy = nn.cross_entropy(other[2](h), targets)
    np.testing.assert_allclose(found[2], (dy.reshape(-1, WORDS).T @ h.reshape(-1, WIDTH))[2], rtol=1e-10, atol=1e-13)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    x, targets = tokens(20, 40, count=WORDS), tokens(20, 40, count=WORDS, seed=1)
    found = []
    for threads in (1, 2, 4):
        model = make(dtype=np.float32)
        with fr.threads(threads):
            fr.fit(model, [(x, targets)], fr.optim.Adam(model.params), steps=3)
        found.append(dict(model.params))
    check_same_bits(found[1], found[0])
    check_same_bits(found[2], found[0])


def test_what_is_refused_by_name() -> None:
    embedding = nn.Embedding(WORDS, WIDTH)
    for arguments, options, error, name in (
        ((WIDTH, WORDS), {"tied_to": embedding.params["weight"]}, TypeError, "tied_to"),
        ((WIDTH, WORDS), {"tied_to": nn.Linear(WIDTH, WORDS)}, TypeError, "tied_to"),
        ((WIDTH, WORDS + 1), {"tied_to": embedding}, ValueError, "tied_to"),
        ((WORDS, WIDTH), {"tied_to": embedding}, ValueError, "tied_to"),
        ((WIDTH, WORDS), {"tied_to": embedding, "dtype": np.float64}, ValueError, "dtype"),
    ):
        with pytest.raises(error, match=f"^{name}: "):
            nn.Linear(*arguments, **options)
    head = nn.Linear(WIDTH, WORDS, tied_to=embedding)
    for parts in ((head,), (nn.Embedding(WORDS, WIDTH), head)):
        with pytest.raises(ValueError, match=r"^parts: expected among them the Embedding that part \d is tied to"):
            nn.Sequential(*parts)
    with pytest.raises(ValueError, match=r"^parts: expected among them the Embedding that part 0 is tied to"):
        nn.Sequential(embedding, nn.Residual(head))
    assigned = nn.Sequential(nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS))
    assigned.params["1.weight"] = assigned.params["0.weight"]
    with pytest.raises(ValueError, match=r"share no memory.*tied_to=embedding"):
        fr.optim.SGD(assigned.params)
