"""`fusedrnn.plot`: the lines and bars of its pictures are the numbers of a GradientFlow; bad input by name."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from typing import Any

import numpy as np
import pytest

import fusedrnn as fr

pytest.importorskip("matplotlib", reason="matplotlib comes with the extra `plot`")

T, B, INPUTS, UNITS = 12, 3, 4, 5


def flow_of(layer: Any, **options: Any) -> Any:
    x = np.random.default_rng(1).standard_normal((T, B, layer.input_size))
    y, _ = layer(x)
    dy = np.zeros_like(y)
    dy[-1] = 1
    return fr.gradient_flow(layer, x, dy, **options)


@pytest.fixture(scope="module")
def lstm() -> Any:
    return flow_of(fr.LSTM(INPUTS, UNITS, dtype="float64", rng=0))


def lines(figure: Any) -> dict[str, np.ndarray]:
    (axes,) = figure.axes
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def drawn(figure: Any) -> bytes:
    """What is drawn, to prove that drawing warns of nothing."""
    file = BytesIO()
    figure.savefig(file)
    return file.getvalue()


def test_norms_of_one_flow(lstm: Any) -> None:
    for of, values in (("h", lstm.h[0, 0]), ("c", lstm.c[0, 0]), ("weight_hh_l0", lstm.params["weight_hh_l0"])):
        figure = fr.plot.norms(lstm, of, title="a title")
        ((_, shown),) = lines(figure).items()
        np.testing.assert_array_equal(shown, np.where(values > 0, values, np.nan))
        assert figure.axes[0].get_yscale() == "log"
        assert figure.axes[0].get_title() == "a title"
        assert drawn(figure).startswith(b"\x89PNG")


def test_norms_of_several_flows_have_a_legend(lstm: Any) -> None:
    deep = flow_of(fr.GRU(INPUTS, UNITS, num_layers=2, bidirectional=True, dtype="float64", rng=0))
    figure = fr.plot.norms({"LSTM": lstm, "GRU": deep}, log=False)
    names = ["LSTM", "GRU layer 0", "GRU layer 0 reverse", "GRU layer 1", "GRU layer 1 reverse"]
    assert list(lines(figure)) == names
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == names
    np.testing.assert_array_equal(lines(figure)["GRU layer 1 reverse"], deep.h[1, 1])
    drawn(figure)


def test_distance_counts_from_the_last_step(lstm: Any) -> None:
    (line,) = fr.plot.norms(lstm, distance=True).axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), np.arange(T)[::-1])


def test_terms(lstm: Any) -> None:
    figure = fr.plot.terms(lstm)
    assert list(lines(figure)) == ["weight_ih_l0", "weight_hh_l0"]
    np.testing.assert_array_equal(lines(figure)["weight_ih_l0"], lstm.params["weight_ih_l0"])
    drawn(figure)
    assert list(lines(fr.plot.terms(lstm, ["bias_hh_l0"]))) == ["bias_hh_l0"]


def test_saturation(lstm: Any) -> None:
    figure = fr.plot.saturation(lstm, title="LSTM")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(lstm.saturation)
    low, between, high = ([bar.get_width() for bar in bars] for bars in axes.containers)
    np.testing.assert_allclose(np.array([low, high]).T, list(lstm.saturation.values()))
    np.testing.assert_allclose(np.sum([low, between, high], axis=0), 1)
    drawn(figure)


def test_given_axes_are_drawn_into(lstm: Any) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    left, middle, right = figure.subplots(1, 3)
    assert fr.plot.norms(lstm, axes=left) is figure
    assert fr.plot.terms(lstm, axes=middle) is figure
    assert fr.plot.saturation(lstm, axes=right) is figure
    assert len(left.lines) == 1
    assert len(middle.lines) == 2
    assert len(right.patches) == 3 * 4


def test_bad_input_is_refused_by_name(lstm: Any) -> None:
    with pytest.raises(TypeError, match=r"^flows: expected a GradientFlow or a mapping"):
        fr.plot.norms([lstm])
    with pytest.raises(TypeError, match=r"^flows: "):
        fr.plot.norms({"one": 1})
    with pytest.raises(ValueError, match=r"^flows: expected at least one"):
        fr.plot.norms({})
    with pytest.raises(ValueError, match=r"^of: expected one of h, c, weight_ih_l0.*got 'x'"):
        fr.plot.norms(lstm, "x")
    with pytest.raises(ValueError, match=r"^of: expected one of h, weight_ih_l0"):
        fr.plot.norms(flow_of(fr.GRU(INPUTS, UNITS, dtype="float64", rng=0)), "c")
    with pytest.raises(TypeError, match=r"^flow: "):
        fr.plot.terms({"LSTM": lstm})
    with pytest.raises(ValueError, match=r"^names: "):
        fr.plot.terms(lstm, ["weight"])
    with pytest.raises(TypeError, match=r"^flow: "):
        fr.plot.saturation(None)
    relu = flow_of(fr.RNN(INPUTS, UNITS, nonlinearity="relu", dtype="float64", rng=0))
    with pytest.raises(ValueError, match=r"^flow: expected gates"):
        fr.plot.saturation(relu)


def test_matplotlib_is_imported_only_to_draw() -> None:
    """And where it is missing, the error says how to get it."""
    program = (
        "import sys, numpy as np, fusedrnn as fr; fr.plot;"
        "assert not any(name.startswith('matplotlib') for name in sys.modules);"
        "sys.modules['matplotlib.figure'] = None;"
        "flow = fr.gradient_flow(fr.GRU(2, 2, dtype='float64', rng=0), np.ones((3, 1, 2)), np.ones((3, 1, 2)));"
        "\ntry: fr.plot.norms(flow)\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("plot: needs matplotlib")
    assert "pip install 'fusedrnn[plot]'" in done.stdout
