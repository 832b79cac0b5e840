"""Random RNN, GRU and LSTM nodes give what the specification's equations and ONNX Runtime give; none is left out.

FUSEDRNN_ONNX_CASES is how many; each is its own seed. ONNX Runtime is asked for every case that it runs as the
specification says; `not_for_onnxruntime` lists the others by their reason, and every reason is counted.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

import onnx_equations
from fusedrnn.onnx import gru, lstm, rnn
from onnx_cases import CONSTANTS, Case, model_of, random_case
from tolerances import (
    EPS32,
    FLOAT32_FLOOR_FORWARD,
    FLOAT32_TIMES_NUMPY,
    ROUNDING,
    check_float32,
    check_float64,
    check_same_numbers,
    scale_of,
)

CASES = int(os.environ.get("FUSEDRNN_ONNX_CASES", "600"))
BLOCK = 100
FUNCTIONS = {"RNN": rnn, "GRU": gru, "LSTM": lstm}
REASONS = ("float64", "layout", "hidden_size", "length 0", "constants")


def case_of(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    return random_case(rng, np.float64 if seed % 8 == 0 else np.float32)


def not_for_onnxruntime(case: Case) -> str | None:
    """Why ONNX Runtime refuses a case, or computes something else than the specification says."""
    attributes = case.attributes
    if case.inputs["X"].dtype == np.float64:
        return "float64"  # not implemented
    if attributes.get("layout"):
        return "layout"  # refused
    if "hidden_size" not in attributes:
        return "hidden_size"  # refused, though it is optional
    if "sequence_lens" in case.inputs and 0 in case.inputs["sequence_lens"]:
        return "length 0"  # Y_h and Y_c are 0, not the initial state
    left = {
        letter: len(attributes.get(name, ())) for letter, name in (("a", "activation_alpha"), ("b", "activation_beta"))
    }
    for name in attributes.get("activations", ()):
        for letter in CONSTANTS[name]:
            left[letter] -= 1
            if left[letter] < 0 and name in ("Affine", "ScaledTanh", "ThresholdedRelu"):
                return "constants"  # defaults are 0
    return None


def check_against_equations(seed: int, case: Case, ours: tuple[np.ndarray, ...]) -> None:
    """Within the bounds of tolerances.py. Activations without bounds do not contract, so every step has a floor of its
    own, as every layer of a stack has there: one's errors are the next one's input."""
    exact = onnx_equations.run(case.op_type, case.inputs, case.attributes)
    if ours[0].dtype == np.float64:
        for name, mine, theirs in zip(case.outputs, ours, exact, strict=True):
            check_float64(f"seed {seed}: {name}", mine, theirs)
        return
    numpys = onnx_equations.run(case.op_type, case.inputs, case.attributes, np.float32)
    for name, mine, theirs, single in zip(case.outputs, ours, exact, numpys, strict=True):
        unit = case.steps * EPS32 * scale_of(theirs)
        floors = FLOAT32_FLOOR_FORWARD * unit, ROUNDING * unit
        check_float32(f"seed {seed}: {name}", mine, theirs, single, FLOAT32_TIMES_NUMPY, *floors)


@pytest.mark.parametrize("first", range(0, CASES, BLOCK))
def test_equations(first: int) -> None:
    for seed in range(first, first + BLOCK):
        case = case_of(seed)
        ours = FUNCTIONS[case.op_type](**case.inputs, **case.attributes)  # type: ignore[operator]
        check_against_equations(seed, case, ours)


@pytest.mark.parametrize("first", range(0, CASES, BLOCK))
def test_onnxruntime(first: int) -> None:
    from onnx_there import session

    asked: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        case = case_of(seed)
        reason = not_for_onnxruntime(case)
        asked[reason or "compared"] += 1
        if reason is None:
            model = model_of(case, opset=(7, 14, 22)[seed % 3])
            theirs = session(model).run(None, case.inputs)
            ours = FUNCTIONS[case.op_type](**case.inputs, **case.attributes)  # type: ignore[operator]
            for name, mine, other in zip(case.outputs, ours, theirs, strict=True):
                check_same_numbers(f"seed {seed}: {name}", mine, other)
    assert sum(asked.values()) == BLOCK
    assert asked["compared"] >= BLOCK // 4
    assert set(asked) <= {"compared", *REASONS}


def test_every_kind_of_case_is_among_them() -> None:
    """Of every operator, in every direction: each attribute and input with and without, every activation."""
    cases = [case_of(seed) for seed in range(CASES)]
    assert set(map(not_for_onnxruntime, cases)) == {None, *REASONS}
    seen = Counter((case.op_type, case.attributes["direction"]) for case in cases)
    assert len(seen) == 9
    assert min(seen.values()) >= CASES // 30
    for op_type in FUNCTIONS:
        own = [case for case in cases if case.op_type == op_type]
        for name in ("B", "sequence_lens", "initial_h", *(("initial_c", "P") if op_type == "LSTM" else ())):
            assert 0.2 < sum(name in case.inputs for case in own) / len(own) < 0.8
        option = {"GRU": ["linear_before_reset"], "LSTM": ["input_forget"]}.get(op_type, [])
        for name in ("clip", "layout", "activations", "activation_alpha", "activation_beta", "hidden_size", *option):
            assert 0.05 < sum(name in case.attributes for case in own) / len(own) < 0.9
        named = Counter(name for case in own for name in case.attributes.get("activations", ()))
        assert set(named) == set(CONSTANTS)


def test_what_onnxruntime_does_otherwise() -> None:
    """The reasons above are true, and with them what docs/howto/onnx.md says of ONNX Runtime."""
    from onnx_there import session

    found: Counter[str] = Counter()
    for seed in range(200):
        case = case_of(seed)
        reason = not_for_onnxruntime(case)
        if reason is None or found[reason] >= 3:
            continue
        ours = FUNCTIONS[case.op_type](**case.inputs, **case.attributes)  # type: ignore[operator]
        try:
            theirs = session(model_of(case)).run(None, case.inputs)
        except Exception:  # it has an exception for each kind of refusal
            found[reason] += reason in ("float64", "layout", "hidden_size")
            continue
        differs = any(np.abs(mine - other).max() > 1e-3 for mine, other in zip(ours, theirs, strict=True))
        found[reason] += differs and reason in ("length 0", "constants")
    assert set(found) == set(REASONS)
    assert min(found.values()) >= 1
