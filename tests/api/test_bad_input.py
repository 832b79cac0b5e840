"""Bad input: every entry of one table must raise, and say which argument, what was expected and what came."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fusedrnn

fr: Any = fusedrnn  # what a type checker would refuse is what is tested

F32 = np.float32
T, B, I, H = 5, 3, 4, 6  # noqa: E741


def zeros(*shape: int, dtype: Any = F32) -> np.ndarray:
    return np.zeros(shape, dtype)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def lstm(**options: Any) -> Any:
    return fr.LSTM(I, H, rng=0, **options)


def lstm_of(hidden_size: int) -> Any:
    return fr.LSTM(I, hidden_size)


def gru(**options: Any) -> Any:
    return fr.GRU(I, H, rng=0, **options)


def weights(gates: int) -> tuple[np.ndarray, np.ndarray]:
    return zeros(gates * H, I), zeros(gates * H, H)


X = zeros(T, B, I)
STATE = (zeros(1, B, H), zeros(1, B, H))


def backward(*args: Any, layer: Any = None, x: np.ndarray = X, **options: Any) -> Any:
    return (layer or lstm()).record(x)[-1].backward(*args, **options)


def backward_twice() -> None:
    tape = lstm().record(X)[-1]
    tape.backward(zeros(T, B, H))
    tape.backward(zeros(T, B, H))


def assign(name: str, value: Any) -> None:
    lstm().params[name] = value


def loaded(**changes: Any) -> None:
    """load_params of the layer's own values with some replaced, or, as None, left out."""
    layer = lstm()
    mapping = {**layer.params, **changes}
    layer.load_params({name: value for name, value in mapping.items() if value is not None})


def step(x: Any, out: Any = None, batch_size: int = B) -> None:
    lstm().stream(batch_size).step(x, out)


def set_stream_state(state: Any, layer: Any = None) -> None:
    (layer or lstm()).stream(B).state = state


def sized(name: str, value: Any) -> Callable[[], Any]:
    """Makes an LSTM, one of whose sizes is `value`."""
    return lambda: fr.LSTM(**{"input_size": I, "hidden_size": H, name: value})


class Case(NamedTuple):
    what: str
    call: Callable[[], Any]
    error: type[Exception]
    argument: str
    told: tuple[str, ...] = ()  # further substrings: what was expected, what came


V, TE = ValueError, TypeError

CONSTRUCTORS = [
    *(
        Case(f"{name} {value!r}", sized(name, value), error, name)
        for name in ("input_size", "hidden_size", "num_layers")
        for value, error in [
            (0, V),
            (-1, V),
            (1.5, TE),
            (float("nan"), TE),
            (float("inf"), TE),
            ("8", TE),
            (None, TE),
            (True, TE),
        ]
    ),
    Case("cell size zero", lambda: fr.GRUCell(4, 0), V, "hidden_size", ("got 0",)),
    Case("cell size float", lambda: fr.RNNCell(4.0, 3), TE, "input_size", ("4.0",)),
    Case("dropout above 1", lambda: lstm(num_layers=2, dropout=1.5), V, "dropout", ("[0, 1]", "1.5")),
    Case("dropout below 0", lambda: gru(num_layers=2, dropout=-0.1), V, "dropout", ("[0, 1]", "-0.1")),
    Case("dropout NaN", lambda: lstm(num_layers=2, dropout=float("nan")), V, "dropout", ("nan",)),
    Case("dropout str", lambda: lstm(num_layers=2, dropout="0.5"), TE, "dropout"),
    Case("dropout bool", lambda: lstm(num_layers=2, dropout=True), TE, "dropout"),
    Case("proj_size = hidden_size", lambda: lstm(proj_size=H), V, "proj_size", ("hidden_size", f"got {H}")),
    Case("proj_size negative", lambda: lstm(proj_size=-1), V, "proj_size", ("got -1",)),
    Case("proj_size float", lambda: lstm(proj_size=2.0), TE, "proj_size"),
    Case("proj_size of a GRU", lambda: gru(proj_size=2), TE, "proj_size"),
    Case("bias int", lambda: lstm(bias=1), TE, "bias"),
    Case("batch_first str", lambda: lstm(batch_first="yes"), TE, "batch_first"),
    Case("bidirectional int", lambda: lstm(bidirectional=2), TE, "bidirectional"),
    Case("nonlinearity unknown", lambda: fr.RNN(4, 3, nonlinearity="tan"), V, "nonlinearity", ("tanh", "'tan'")),
    Case("nonlinearity not a str", lambda: fr.RNN(4, 3, 1, True), TE, "nonlinearity"),
    Case("cell nonlinearity unknown", lambda: fr.RNNCell(4, 3, nonlinearity="x"), V, "nonlinearity", ("'x'",)),
    Case("dtype half", lambda: lstm(dtype=np.float16), TE, "dtype", ("float32", "float16")),
    Case("dtype int", lambda: lstm(dtype=np.int64), TE, "dtype"),
    Case("dtype byte-swapped", lambda: lstm(dtype=np.dtype(F32).newbyteorder()), TE, "dtype"),
    Case("dtype nonsense", lambda: lstm(dtype="floaty"), TE, "dtype", ("floaty",)),
    Case("rng str", lambda: fr.LSTM(4, 3, rng="seed"), TE, "rng"),
    Case("hidden_size beyond 64 bits", lambda: lstm_of(2**70), V, "hidden_size", (str(2**70),)),
    Case("hidden_size beyond any memory", lambda: lstm_of(2**62), V, "hidden_size", (str(2**62),)),
    Case("rng negative", lambda: fr.LSTM(4, 3, rng=-1), V, "rng"),
]

INPUTS = [
    Case("x rank 1", lambda: lstm()(zeros(I)), V, "x", (f"got ({I},)",)),
    Case("x rank 4", lambda: lstm()(zeros(1, T, B, I)), V, "x", (f"(1, {T}, {B}, {I})",)),
    Case("x rank 0", lambda: gru()(zeros()), V, "x", ("()",)),
    Case("x width", lambda: lstm()(zeros(T, B, 7)), V, "x", (str(I), f"({T}, {B}, 7)")),
    Case("x width unbatched", lambda: lstm()(zeros(T, 7)), V, "x", (str(I), f"({T}, 7)")),
    Case("x width batch first", lambda: gru(batch_first=True)(zeros(B, T, 7)), V, "x", (str(I), f"({B}, {T}, 7)")),
    Case("x float64 in float32", lambda: lstm()(zeros(T, B, I, dtype=float)), TE, "x", ("float32", "float64")),
    Case("x float32 in float64", lambda: lstm(dtype=float)(X), TE, "x", ("float64", "float32")),
    Case("x int", lambda: gru()(zeros(T, B, I, dtype=np.int32)), TE, "x", ("float32", "int32")),
    Case("x half", lambda: gru()(zeros(T, B, I, dtype=np.float16)), TE, "x", ("float32", "float16")),
    Case("x unbatched float64", lambda: gru()(zeros(T, I, dtype=float)), TE, "x", ("float32", "float64")),
    Case("x byte-swapped", lambda: lstm()(X.astype(X.dtype.newbyteorder())), TE, "x", ("float32",)),
    Case("x complex", lambda: lstm()(zeros(T, B, I, dtype=complex)), TE, "x", ("complex128",)),
    Case("x object", lambda: lstm()(zeros(T, B, I, dtype=object)), TE, "x", ("object",)),
    Case("x list", lambda: lstm()(X.tolist()), TE, "x", ("ndarray", "list")),
    Case("x None", lambda: gru()(None), TE, "x", ("NoneType",)),
    Case("record: x list", lambda: lstm().record(X.tolist()), TE, "x", ("ndarray", "list")),
    Case("record: x width", lambda: lstm().record(zeros(T, B, 7)), V, "x", (f"({T}, {B}, 7)",)),
    Case("record: x rank", lambda: lstm().record(zeros(7)), V, "x", ("(7,)",)),
    Case("record: checkpoint 0", lambda: lstm().record(X, checkpoint=0), V, "checkpoint", ("got 0",)),
    Case("record: checkpoint float", lambda: lstm().record(X, checkpoint=2.0), TE, "checkpoint"),
    Case("record: checkpoint, both ways", lambda: gru(bidirectional=True).record(X, checkpoint=2), V, "checkpoint"),
    Case("record: checkpoint beyond 64 bits", lambda: lstm().record(X, checkpoint=2**70), V, "checkpoint"),
    Case("return_cell str", lambda: lstm()(X, return_cell="no"), TE, "return_cell", ("bool", "'no'")),
    Case("return_cell array", lambda: lstm()(X, return_cell=zeros(2)), TE, "return_cell", ("bool",)),
    Case("record: return_cell int", lambda: lstm().record(X, return_cell=1), TE, "return_cell", ("bool", "got 1")),
    Case("return_cell int of a GRU", lambda: gru()(X, return_cell=0), TE, "return_cell", ("bool", "got 0")),
    Case("record: return_cell array of a GRU", lambda: gru().record(X, return_cell=zeros(2)), TE, "return_cell"),
    Case("return_cell of a GRU", lambda: gru()(X, return_cell=True), V, "return_cell", ("GRU",)),
    Case("return_cell of an RNN", lambda: fr.RNN(I, H).record(X, return_cell=True), V, "return_cell", ("RNN",)),
]

STATES = [
    Case("LSTM with h only", lambda: lstm()(X, STATE[0]), TE, "state", ("pair", str(STATE[0].shape))),
    Case("LSTM with stacked h", lambda: lstm()(X, zeros(2, 1, B, H)), TE, "state", ("pair",)),
    Case("LSTM with (h,)", lambda: lstm()(X, (STATE[0],)), V, "state", ("pair", "1")),
    Case("LSTM with three", lambda: lstm()(X, (*STATE, STATE[0])), V, "state", ("pair", "3")),
    Case("LSTM with (h, None)", lambda: lstm()(X, (STATE[0], None)), TE, "state", ("NoneType",)),
    Case("LSTM with lists", lambda: lstm()(X, (STATE[0].tolist(), STATE[1])), TE, "state", ("list",)),
    Case("GRU with a pair", lambda: gru()(X, STATE), TE, "state", ("one array",)),
    Case("GRU with a list", lambda: gru().record(X, STATE[0].tolist()), TE, "state"),
    Case(
        "h0 layers",
        lambda: lstm()(X, (zeros(2, B, H), STATE[1])),
        V,
        "state (h)",
        (f"(1, {B}, {H})", f"(2, {B}, {H})"),
    ),
    Case(
        "c0 layers",
        lambda: lstm()(X, (STATE[0], zeros(2, B, H))),
        V,
        "state (c)",
        (f"(1, {B}, {H})", f"(2, {B}, {H})"),
    ),
    Case("h0 batch", lambda: gru()(X, zeros(1, 7, H)), V, "state (h)", (f"(1, {B}, {H})", f"(1, 7, {H})")),
    Case("h0 width", lambda: gru()(X, zeros(1, B, 9)), V, "state (h)", (f"(1, {B}, {H})", f"(1, {B}, 9)")),
    Case("h0 rank", lambda: gru()(X, zeros(B, H)), V, "state (h)", (f"({B}, {H})",)),
    Case("h0 dtype", lambda: gru()(X, zeros(1, B, H, dtype=float)), TE, "state (h)", ("float32", "float64")),
    Case("c0 dtype", lambda: lstm()(X, (STATE[0], zeros(1, B, H, dtype=float))), TE, "state (c)", ("float64",)),
    Case(
        "h0 width with projection",
        lambda: lstm(proj_size=2)(X, STATE),
        V,
        "state (h)",
        (f"(1, {B}, 2)", f"(1, {B}, {H})"),
    ),
    Case("unbatched h0 rank", lambda: gru()(zeros(T, I), zeros(1, 1, H)), V, "state (h)", (f"(1, 1, {H})",)),
    Case("unbatched c0 dtype", lambda: lstm()(zeros(T, I), (zeros(1, H), zeros(1, H, dtype=float))), TE, "state (c)"),
    Case("record: h0 batch", lambda: gru().record(X, zeros(1, 7, H)), V, "state (h)", (f"(1, 7, {H})",)),
]

MASKS = [
    Case("lengths negative", lambda: lstm()(X, lengths=[1, -1, 2]), V, "lengths", ("-1", str(T))),
    Case("lengths too long", lambda: lstm()(X, lengths=[1, T + 1, 2]), V, "lengths", (str(T + 1), str(T))),
    Case("lengths float", lambda: lstm()(X, lengths=[1.0, 2.0, 3.0]), TE, "lengths", ("float64",)),
    Case("lengths bool", lambda: lstm()(X, lengths=np.ones(B, bool)), TE, "lengths", ("bool",)),
    Case("lengths with a bool", lambda: lstm()(X, lengths=[1, True, 3]), TE, "lengths", ("True at index 1",)),
    Case("lengths ragged", lambda: lstm()(X, lengths=[1, [2], 3]), TE, "lengths", ("integers", "list")),
    Case("lengths str", lambda: lstm()(X, lengths=["1", "2", "3"]), TE, "lengths"),
    Case("lengths too few", lambda: lstm()(X, lengths=[1, 2]), V, "lengths", (f"({B},)", "(2,)")),
    Case("lengths (B, 1)", lambda: gru()(X, lengths=[[1], [2], [3]]), V, "lengths", (f"({B},)", f"({B}, 1)")),
    Case("lengths scalar", lambda: gru()(X, lengths=3), V, "lengths", (f"({B},)", "()")),
    Case("lengths beyond int64", lambda: gru()(X, lengths=np.full(B, 2**64 - 1, np.uint64)), V, "lengths"),
    Case("lengths unbatched", lambda: gru()(zeros(T, I), lengths=[3]), V, "lengths", ("unbatched",)),
    Case("lengths scalar unbatched", lambda: gru()(zeros(T, I), lengths=3), V, "lengths", ("unbatched",)),
    Case("record: lengths too long", lambda: lstm().record(X, lengths=[1, T + 1, 2]), V, "lengths"),
    Case("reset float", lambda: lstm()(X, reset=zeros(T, B)), TE, "reset", ("bool", "float32")),
    Case("reset int", lambda: lstm()(X, reset=zeros(T, B, dtype=int)), TE, "reset", ("bool", "int64")),
    Case("reset ragged", lambda: gru()(X, reset=[[True], [True, False]]), TE, "reset", ("bool", "list")),
    Case("reset (T,)", lambda: gru()(X, reset=zeros(T, dtype=bool)), V, "reset", (f"({T}, {B})", f"({T},)")),
    Case("reset (B, T)", lambda: gru()(X, reset=zeros(B, T, dtype=bool)), V, "reset", (f"({T}, {B})", f"({B}, {T})")),
    Case(
        "reset (T, B), batch first",
        lambda: gru(batch_first=True)(zeros(B, T, I), reset=zeros(T, B, dtype=bool)),
        V,
        "reset",
        (f"({B}, {T})", f"({T}, {B})"),
    ),
    Case(
        "reset unbatched",
        lambda: gru()(zeros(T, I), reset=zeros(T, 1, dtype=bool)),
        V,
        "reset",
        (f"({T},)", f"({T}, 1)"),
    ),
]

TAPES = [
    Case("used twice", backward_twice, V, "tape"),
    Case("nothing given", lambda: backward(), V, "dy"),
    Case("dy shape", lambda: backward(zeros(T, B, H + 1)), V, "dy", (f"({T}, {B}, {H})", f"({T}, {B}, {H + 1})")),
    Case("dy rank", lambda: backward(zeros(T, H)), V, "dy", (f"({T}, {H})",)),
    Case("dy dtype", lambda: backward(zeros(T, B, H, dtype=float)), TE, "dy", ("float32", "float64")),
    Case("dy list", lambda: backward(zeros(T, B, H).tolist()), TE, "dy", ("list",)),
    Case("dy of an unbatched call", lambda: backward(zeros(T, 1, H), x=zeros(T, I)), V, "dy", (f"({T}, {H})",)),
    Case("dstate h only", lambda: backward(None, STATE[0]), TE, "dstate", ("pair",)),
    Case("dstate pair for a GRU", lambda: backward(None, STATE, layer=gru()), TE, "dstate"),
    Case("dstate h shape", lambda: backward(None, (zeros(1, B, 9), None)), V, "dstate (h)", (f"{(1, B, H)}", "9")),
    Case("dstate c shape", lambda: backward(None, (None, zeros(1, 9, H))), V, "dstate (c)", (f"{(1, B, H)}", "9")),
    Case("dstate c dtype", lambda: backward(None, (None, zeros(1, B, H, dtype=float))), TE, "dstate (c)", ("float64",)),
    Case("truncate 0", lambda: backward(zeros(T, B, H), truncate=0), V, "truncate", ("got 0",)),
    Case("truncate negative", lambda: backward(zeros(T, B, H), truncate=-2), V, "truncate", ("got -2",)),
    Case("truncate float", lambda: backward(zeros(T, B, H), truncate=2.0), TE, "truncate", ("2.0",)),
    Case("truncate beyond 64 bits", lambda: backward(zeros(T, B, H), truncate=2**70), V, "truncate"),
    Case("truncate bool", lambda: backward(zeros(T, B, H), truncate=True), TE, "truncate"),
]

PARAMETERS = [
    Case("assign: unknown name", lambda: assign("weight", zeros(1)), V, "'weight'", ("weight_ih_l0", "bias_hh_l0")),
    Case(
        "assign: shape",
        lambda: assign("weight_ih_l0", zeros(I, 4 * H)),
        V,
        "weight_ih_l0",
        (f"({4 * H}, {I})", f"({I}, {4 * H})"),
    ),
    Case("assign: int", lambda: assign("bias_ih_l0", zeros(4 * H, dtype=int)), TE, "bias_ih_l0", ("int64",)),
    Case("assign: complex", lambda: assign("bias_ih_l0", zeros(4 * H, dtype=complex)), TE, "bias_ih_l0"),
    Case("assign: None", lambda: assign("bias_ih_l0", None), TE, "bias_ih_l0", ("NoneType",)),
    Case("assign: ragged list", lambda: assign("weight_ih_l0", [[1.0], [1.0, 2.0]]), TE, "weight_ih_l0"),
    Case("delete", lambda: lstm().params.pop("bias_ih_l0"), TE, "bias_ih_l0"),
    Case("load: not a mapping", lambda: lstm().load_params([1, 2]), TE, "mapping", ("list",)),
    Case("load: missing", lambda: loaded(bias_hh_l0=None), V, "missing: bias_hh_l0"),
    Case("load: unexpected", lambda: loaded(weight_ih_l1=zeros(1)), V, "unexpected: weight_ih_l1"),
    Case("load: shape", lambda: loaded(bias_hh_l0=zeros(3)), V, "bias_hh_l0", (f"({4 * H},)", "(3,)")),
    Case("load: dtype", lambda: loaded(bias_hh_l0=zeros(4 * H, dtype=int)), TE, "bias_hh_l0", ("int64",)),
]

CELLS = [
    Case("x rank 3", lambda: fr.LSTMCell(I, H)(zeros(1, B, I)), V, "x", (f"({I},)", f"(1, {B}, {I})")),
    Case("x rank 0", lambda: fr.LSTMCell(I, H)(zeros()), V, "x", ("()",)),
    Case("x width", lambda: fr.GRUCell(I, H)(zeros(B, 7)), V, "x", (f"(B, {I})", f"({B}, 7)")),
    Case("x dtype", lambda: fr.GRUCell(I, H)(zeros(B, I, dtype=float)), TE, "x", ("float32", "float64")),
    Case("x list", lambda: fr.RNNCell(I, H)([0.0] * I), TE, "x", ("list",)),
    Case("LSTM with h only", lambda: fr.LSTMCell(I, H)(zeros(B, I), zeros(B, H)), TE, "state", ("pair",)),
    Case("GRU with a pair", lambda: fr.GRUCell(I, H)(zeros(B, I), (zeros(B, H),) * 2), TE, "state"),
    Case("h batch", lambda: fr.GRUCell(I, H)(zeros(B, I), zeros(7, H)), V, "state", (f"({B}, {H})", f"(7, {H})")),
    Case("h unbatched", lambda: fr.GRUCell(I, H)(zeros(I), zeros(1, H)), V, "state", (f"({H},)", f"(1, {H})")),
    Case("c width", lambda: fr.LSTMCell(I, H)(zeros(I), (zeros(H), zeros(9))), V, "state (c)", (f"({H},)", "(9,)")),
    Case("h dtype", lambda: fr.GRUCell(I, H)(zeros(B, I), zeros(B, H, dtype=float)), TE, "state", ("float64",)),
    Case("dstate None", lambda: fr.GRUCell(I, H).record(zeros(B, I))[1].backward(None), TE, "dstate"),
    Case("dstate shape", lambda: fr.GRUCell(I, H).record(zeros(B, I))[1].backward(zeros(H)), V, "dstate", (f"({H},)",)),
    Case("dstate h only", lambda: fr.LSTMCell(I, H).record(zeros(I))[1].backward(zeros(H)), TE, "dstate", ("pair",)),
]

STREAMS = [
    Case("bidirectional", lambda: lstm(bidirectional=True).stream(), V, "bidirectional"),
    Case("batch_size 0", lambda: lstm().stream(0), V, "batch_size", ("got 0",)),
    Case("batch_size beyond any memory", lambda: lstm().stream(2**60), V, "batch_size", (str(2**60),)),
    Case("batch_size float", lambda: lstm().stream(2.0), TE, "batch_size"),
    Case("no x", lambda: lstm().stream(B).step(), TE, "'x'"),  # type: ignore[call-arg]
    Case("x twice", lambda: lstm().stream(B).step(zeros(B, I), x=zeros(B, I)), TE, "'x'"),  # type: ignore[misc]
    Case("too many", lambda: lstm().stream(B).step(zeros(B, I), None, None), TE, "step", ("2", "3")),  # type: ignore[call-arg]
    Case("unknown keyword", lambda: lstm().stream(B).step(zeros(B, I), y=None), TE, "'y'"),  # type: ignore[call-arg]
    Case("x batch", lambda: step(zeros(7, I)), V, "x", (f"({B}, {I})", f"(7, {I})")),
    Case("x width", lambda: step(zeros(B, 9)), V, "x", (f"({B}, {I})", f"({B}, 9)")),
    Case("x rank", lambda: step(zeros(1, B, I)), V, "x", (f"(1, {B}, {I})",)),
    Case("x rank 1 for B rows", lambda: step(zeros(I)), V, "x", (f"({I},)",)),
    Case("x dtype", lambda: step(zeros(B, I, dtype=float)), TE, "x", ("float32", "float64")),
    Case("x list", lambda: step([[0.0] * I] * B), TE, "x"),
    Case("out shape", lambda: step(zeros(B, I), zeros(B, 9)), V, "out", (f"({B}, {H})", f"({B}, 9)")),
    Case("out rank", lambda: step(zeros(1, I), zeros(H), batch_size=1), V, "out", (f"(1, {H})", f"({H},)")),
    Case("out dtype", lambda: step(zeros(B, I), zeros(B, H, dtype=float)), TE, "out", ("float32", "float64")),
    Case("out read-only", lambda: step(zeros(B, I), read_only(zeros(B, H))), V, "out"),
    Case("out list", lambda: step(zeros(B, I), [0.0]), TE, "out"),
    Case("rows dtype", lambda: lstm().stream(B).reset([0.0, 1.0, 1.0]), TE, "rows", ("bool", "float64")),
    Case("rows ragged", lambda: lstm().stream(B).reset([True, [False], True]), TE, "rows", ("bool", "list")),
    Case("rows shape", lambda: lstm().stream(B).reset(zeros(2, dtype=bool)), V, "rows", (f"({B},)", "(2,)")),
    Case("state h only", lambda: set_stream_state(STATE[0]), TE, "state", ("pair",)),
    Case("state pair for a GRU", lambda: set_stream_state(STATE, gru()), TE, "state"),
    Case("state None", lambda: set_stream_state(None), TE, "state"),
    Case(
        "state batch",
        lambda: set_stream_state((zeros(1, 7, H), STATE[1])),
        V,
        "state (h)",
        (f"(1, {B}, {H})", f"(1, 7, {H})"),
    ),
    Case("state dtype", lambda: set_stream_state((STATE[0], zeros(1, B, H, dtype=float))), TE, "state (c)"),
]

FUNCTIONAL = [
    Case("x list", lambda: fr.functional.gru([0.0], *weights(3)), TE, "x"),
    Case("x rank", lambda: fr.functional.gru(zeros(I), *weights(3)), V, "x", (f"({I},)",)),
    Case("x width", lambda: fr.functional.gru(zeros(T, B, 9), *weights(3)), V, "x", (str(I), f"({T}, {B}, 9)")),
    Case("x dtype", lambda: fr.functional.gru(zeros(T, B, I, dtype=int), *weights(3)), TE, "x", ("int64",)),
    Case("w_ih rows", lambda: fr.functional.lstm(X, zeros(10, I), zeros(10, 2)), V, "w_ih", ("4*H", f"(10, {I})")),
    Case("w_ih rank", lambda: fr.functional.lstm(X, zeros(I), zeros(10, 2)), V, "w_ih", (f"({I},)",)),
    Case("w_ih dtype", lambda: fr.functional.gru(X, *(w.astype(float) for w in weights(3))), TE, "w_ih", ("float64",)),
    Case("w_hh shape", lambda: fr.functional.rnn(X, zeros(H, I), zeros(H, 9)), V, "w_hh", (f"({H}, {H})", f"({H}, 9)")),
    Case("b_ih shape", lambda: fr.functional.gru(X, *weights(3), zeros(H)), V, "b_ih", (f"({3 * H},)", f"({H},)")),
    Case("b_hh list", lambda: fr.functional.gru(X, *weights(3), None, [0.0]), TE, "b_hh", ("list",)),
    Case("w_hr width", lambda: fr.functional.lstm(X, *weights(4), w_hr=zeros(H, H)), V, "w_hr", (f"({H}, {H})",)),
    Case("w_hr list", lambda: fr.functional.lstm(X, *weights(4), w_hr=[[1.0]]), TE, "w_hr", ("list",)),
    Case("return_cell", lambda: fr.functional.lstm(X, *weights(4), return_cell="no"), TE, "return_cell", ("bool",)),
    Case("h0 shape", lambda: fr.functional.gru(X, *weights(3), h0=zeros(1, B, H)), V, "h0", (f"({B}, {H})",)),
    Case("c0 dtype", lambda: fr.functional.lstm(X, *weights(4), c0=zeros(B, H, dtype=float)), TE, "c0", ("float64",)),
    Case("lengths float", lambda: fr.functional.gru(X, *weights(3), lengths=[1.0, 1.0, 1.0]), TE, "lengths"),
    Case("lengths unbatched", lambda: fr.functional.gru(zeros(T, I), *weights(3), lengths=[1]), V, "lengths"),
    Case("reset shape", lambda: fr.functional.gru(X, *weights(3), reset=zeros(B, T, dtype=bool)), V, "reset"),
    Case("nonlinearity", lambda: fr.functional.rnn(X, *weights(1), nonlinearity="x"), V, "nonlinearity", ("'x'",)),
]

RUNTIME = [
    Case("set_num_threads 0", lambda: fr.set_num_threads(0), V, "n", ("got 0",)),
    Case("set_num_threads float", lambda: fr.set_num_threads(1.5), TE, "n", ("1.5",)),
    Case("set_num_threads too many", lambda: fr.set_num_threads(4097), V, "n", ("4096", "4097")),
    Case("threads beyond 64 bits", lambda: fr.threads(2**70), V, "n", ("4096",)),
    Case("threads -1", lambda: fr.threads(-1), V, "n", ("got -1",)),
    Case("use_isa unknown", lambda: fr.use_isa("sse9"), V, "sse9", tuple(fr.available_isas())),
    Case("use_isa not a str", lambda: fr.use_isa(2), TE, "name"),
]

TABLE = {
    "constructors": CONSTRUCTORS,
    "inputs": INPUTS,
    "states": STATES,
    "masks": MASKS,
    "tapes": TAPES,
    "parameters": PARAMETERS,
    "cells": CELLS,
    "streams": STREAMS,
    "functional": FUNCTIONAL,
    "runtime": RUNTIME,
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{group}: {case.what}") for group, cases in TABLE.items() for case in cases],
)
def test_error_names_the_argument(case: Case) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        case.call()
    message = str(caught.value)
    assert caught.type is case.error, message
    assert re.search(rf"(?<!\w){re.escape(case.argument)}(?!\w)", message), message
    for words in case.told:
        assert words in message


def test_load_params_writes_nothing_after_an_error() -> None:
    layer = lstm()
    before = {name: array.copy() for name, array in layer.params.items()}
    arrays = dict(layer.params)
    bad: list[dict[str, Any]] = [
        {name: array + 1 for name, array in list(arrays.items())[:-1]},
        {**{name: array + 1 for name, array in arrays.items()}, "extra": zeros(1)},
        {**{name: array + 1 for name, array in arrays.items()}, "bias_hh_l0": zeros(1)},
        {**{name: array + 1 for name, array in arrays.items()}, "bias_hh_l0": zeros(4 * H, dtype=int)},
    ]
    for mapping in bad:
        with pytest.raises((ValueError, TypeError)):
            layer.load_params(mapping)
        for name, array in layer.params.items():
            assert array is arrays[name]
            np.testing.assert_array_equal(array, before[name])


def test_bad_assignment_keeps_the_parameter() -> None:
    layer = lstm()
    kept = layer.params["bias_ih_l0"]
    for value in (zeros(1), zeros(4 * H, dtype=int)):
        with pytest.raises((ValueError, TypeError)):
            layer.params["bias_ih_l0"] = value
    assert layer.params["bias_ih_l0"] is kept


def test_bad_step_changes_neither_state_nor_out() -> None:
    stream = lstm().stream(B)
    stream.step(np.ones((B, I), F32))
    before = stream.state
    out = np.full((B, H + 1), 7, F32)
    locked = read_only(np.full((B, H), 7, F32))
    calls: list[Callable[[], Any]] = [
        lambda: stream.step(zeros(B, 9)),
        lambda: stream.step(zeros(B, I), out),
        lambda: stream.step(zeros(B, I), locked),
        lambda: stream.reset(zeros(2, dtype=bool)),
        lambda: set_state(stream, (np.ones((1, B, H), F32), zeros(1, 7, H))),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"expected|out"):
            call()
        for now, then in zip(stream.state, before, strict=True):
            np.testing.assert_array_equal(now, then)
    assert (out == 7).all()
    assert (locked == 7).all()


def set_state(stream: Any, state: Any) -> None:
    stream.state = state


def test_bad_backward_leaves_the_tape_usable() -> None:
    _, _, tape = lstm().record(X)
    for arguments in [(zeros(T, B, H + 1),), (zeros(T, B, H), STATE[0]), (zeros(T, B, H), None, 0)]:
        with pytest.raises((ValueError, TypeError)):
            tape.backward(*arguments)
    tape.backward(zeros(T, B, H))


def test_a_refused_record_draws_no_dropout() -> None:
    layer, twin = (fr.LSTM(I, H, num_layers=2, dropout=0.5, rng=0) for _ in range(2))
    for x, options in [(X.astype(float), {}), (X, {"lengths": [T + 1] * B}), (X, {"checkpoint": 0})]:
        with pytest.raises((ValueError, TypeError)):
            layer.record(x, **options)
    np.testing.assert_array_equal(layer.record(X)[0], twin.record(X)[0])
    assert layer.rng.random() == twin.rng.random()


def test_settings_survive_bad_values() -> None:
    threads, isa = fr.get_num_threads(), fr.isa()
    calls: list[Callable[[], None]] = [lambda: fr.set_num_threads(0), lambda: fr.use_isa("sse9")]
    for call in calls:
        with pytest.raises(ValueError, match=r"expected|available"):
            call()
    assert (fr.get_num_threads(), fr.isa()) == (threads, isa)


class Liar(np.ndarray):
    """An array that says other things of itself than it is."""

    def copy(self, order: Any = "C") -> Any:
        return np.full((1, 1, I), np.nan, F32)

    def __getitem__(self, key: Any) -> Any:
        return np.full((1, 1, I), np.nan, F32)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise RuntimeError("asked")

    def __array_finalize__(self, other: Any) -> None:
        self.said = (1, 1, I)


def test_only_the_memory_of_a_subclass_is_read() -> None:
    """Every array argument, in a layout that has to be copied and in one that has not."""
    normal = np.random.default_rng(0).standard_normal
    layer, x = fr.LSTM(I, H, rng=0), normal((T, B, I)).astype(F32)
    state = tuple(normal((1, B, H)).astype(F32) for _ in "hc")
    lengths, reset = np.array([5, 3, 0]), normal((T, B)) > 1
    dy, dstate = normal((T, B, H)).astype(F32), tuple(normal((1, B, H)).astype(F32) for _ in "hc")
    expected = layer.record(x, state, lengths=lengths, reset=reset)
    gradients = expected[-1].backward(dy, dstate)

    def lying(array: np.ndarray, order: str) -> Any:
        return np.array(array, order=order).view(Liar)

    for order in "CF":
        x2, lengths2, reset2, dy2 = (lying(array, order) for array in (x, lengths, reset, dy))
        state2, dstate2 = (tuple(lying(part, order) for part in pair) for pair in (state, dstate))
        y, last, tape = layer.record(x2, state2, lengths=lengths2, reset=reset2)
        ours = tape.backward(dy2, dstate2)
        pairs = [(y, expected[0]), *zip(last, expected[1], strict=True), (ours.x, gradients.x)]
        pairs += zip(ours.state, gradients.state, strict=True)
        pairs += [(ours.params[name], value) for name, value in gradients.params.items()]
        assert all(np.array_equal(a, b) for a, b in pairs)
        stream, other = layer.stream(B), layer.stream(B)
        stream.state, other.state = state2, state
        out = np.zeros((B, H), F32, order=order).view(Liar)
        assert stream.step(lying(x[0], order), out=out) is out
        assert np.array_equal(np.asarray(out), other.step(x[0]))
    with pytest.raises(ValueError, match="x: expected shape"):
        layer(np.zeros((2, 3, I + 1), F32).view(Liar))
