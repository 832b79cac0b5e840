"""Every tolerance of the tests, once, with where it comes from. None is tuned to what the kernels happen to give.

An array's *scale* is the largest magnitude in the exact array: errors are measured against it, since an element that
cancels to nearly nothing has no relative accuracy of its own. Where the scale is zero, the result must be zero.

float64
    1e-12 of the scale: the bound the project promises. A product of n terms errs by at most n u = n 2^-53 of the sum
    of magnitudes; the widest here, 1200 terms over a few steps, are at 1.3e-13 and there is a factor of ten left for
    the steps after it. The networks tested are contractive or short, so steps do not multiply errors.

float32
    The promise is about NumPy: run the same equations in float32, and see how far they are from float64. Our error is
    at most twice NumPy's. It is four times where a product has more than 1024 terms (I + H forward; gates times H
    backward, where every gate's gradient flows into one h): there one chain's error grows as the root of the length,
    and that of the several partial sums in NumPy's BLAS more slowly. (With few inputs and hundreds of units it does so
    before: docs/design/kernels.md. The problems here do not.)

    Where an array has many elements this holds for the root mean square of their errors, but for one rounding of a
    value of the array's scale. The largest error of an array is a matter of luck, and NumPy's in an array of a few
    elements may be nothing at all, so that there is a floor. Forward it is 3.5 ULP of the scale: the kernels' tanh and
    sigmoid may err by 3 where NumPy's err by half of one, and the product with them rounds once more. Backward, a
    gate's gradient is a product of four values, dh, two gates and a slope, each with those 3 ULP, and three roundings
    between them: 13.5 ULP. All of these count once for every layer of a stack, since one's errors are the next one's
    input. A parameter's gradient is a sum over time and batch of gate gradients times values of order one, and all of
    it may cancel: its scale is the largest among the parameters of its layer and direction.

Other
    Two ways to the same float64 number that add in different orders get the float64 bound, and so does PyTorch.
    PyTorch's own float32 comparison is rtol 1.3e-6 and atol 1e-5 (torch.testing, test_mkldnn.py::test_lstm); its atol
    assumes values of order one, so for larger arrays it is scaled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FLOAT64 = 1e-12
FLOAT32_TIMES_NUMPY = 2.0
FLOAT32_TIMES_NUMPY_MANY = 4.0
FLOAT32_FLOOR_FORWARD = 3.5
FLOAT32_FLOOR_BACKWARD = 13.5
TORCH_FLOAT32_RTOL = 1.3e-6
TORCH_FLOAT32_ATOL = 1e-5

MATH_ULP = {np.dtype(np.float32): 3.0, np.dtype(np.float64): 2.0}
"""exp, tanh and sigmoid, in units in the last place of the exact value."""

EPS32 = float(np.finfo(np.float32).eps)
MANY_TERMS = 1024
MANY_ELEMENTS = 200
ROUNDING = 1 / 12**0.5
"""Root mean square error of one rounding, in ULP."""


def scale_of(exact: np.ndarray) -> float:
    return float(np.abs(exact).max(initial=0.0))


def error_of(ours: np.ndarray, exact: np.ndarray) -> float:
    """The largest absolute difference; infinite where a NaN or an infinity is not in both."""
    ours, exact = ours.astype(np.float64), exact.astype(np.float64)
    same = (ours == exact) | (np.isnan(ours) & np.isnan(exact))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(ours - exact))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def check_float64(what: str, ours: np.ndarray, exact: np.ndarray) -> None:
    assert ours.shape == exact.shape, what
    assert ours.dtype == np.float64, what
    error, allowed = error_of(ours, exact), FLOAT64 * scale_of(exact)
    assert error <= allowed, f"{what}: error {error:.3g}, allowed {allowed:.3g}"


def rms_error_of(ours: np.ndarray, exact: np.ndarray) -> float:
    """Root mean square of the differences, of finite arrays."""
    return float(np.sqrt(np.mean(np.square(ours.astype(np.float64) - exact))))


def layer_of(name: str) -> str | None:
    """ "_l0_reverse" of "d bias_ih_l0_reverse"; None of what is no parameter's gradient."""
    return name[name.rindex("_l") :] if name.startswith(("d weight", "d bias")) else None


def scales_of(exact: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Scales by name; a parameter's gradient ("d weight_ih_l0") shares that of its layer and direction."""
    own = {name: scale_of(array) for name, array in exact.items()}

    return {
        name: max(
            own[other] for other in own if other == name or (layer_of(name) and layer_of(name) == layer_of(other))
        )
        for name in own
    }


def check_all_float32(
    ours: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    numpys: Mapping[str, np.ndarray],
    terms: int,
    terms_backward: int,
    layers: int,
) -> None:
    """`exact` from the float64 reference, `numpys` from the float32 one, all by name, gradients as "d ...".

    `terms`: of the longest product forward and backward.
    """
    assert list(ours) == list(exact) == list(numpys)
    scales = scales_of(exact)
    for name in exact:
        backward = name.startswith("d ")
        many = (terms_backward if backward else terms) > MANY_TERMS
        floor = FLOAT32_FLOOR_BACKWARD if backward else FLOAT32_FLOOR_FORWARD
        times = FLOAT32_TIMES_NUMPY_MANY if many else FLOAT32_TIMES_NUMPY
        unit = layers * EPS32 * scales[name]
        check_float32(name, ours[name], exact[name], numpys[name], times, floor * unit, ROUNDING * unit)


def check_float32(
    what: str, ours: np.ndarray, exact: np.ndarray, numpys: np.ndarray, times: float, floor: float, mean_floor: float
) -> None:
    assert ours.shape == exact.shape == numpys.shape, what
    assert ours.dtype == numpys.dtype == np.float32, what
    error, numpys_error = error_of(ours, exact), error_of(numpys, exact)
    allowed = times * numpys_error + floor
    assert error <= allowed, f"{what}: error {error:.3g}, NumPy's {numpys_error:.3g}, allowed {allowed:.3g}"
    if exact.size >= MANY_ELEMENTS:
        mean, numpys_mean = rms_error_of(ours, exact), rms_error_of(numpys, exact)
        allowed = times * numpys_mean + mean_floor
        assert mean <= allowed, f"{what}: mean error {mean:.3g}, NumPy's {numpys_mean:.3g}, allowed {allowed:.3g}"


def check_same_numbers(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Two ways to the same number, each within its bound of it."""
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype, what
    if ours.dtype == np.float64:
        error, allowed = error_of(ours, theirs), FLOAT64 * scale_of(theirs)
    else:
        error = error_of(ours, theirs)
        allowed = TORCH_FLOAT32_RTOL * scale_of(theirs) + TORCH_FLOAT32_ATOL * max(1.0, scale_of(theirs))
    assert error <= allowed, f"{what}: difference {error:.3g}, allowed {allowed:.3g}"
