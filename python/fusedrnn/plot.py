"""Pictures of what `fusedrnn.gradient_flow` finds: norms by step, each step's term, saturation of gates.

    flow = fr.gradient_flow(lstm, x, dy)
    fr.plot.norms({"LSTM": flow}).savefig("flow.png")

They need matplotlib (`pip install 'fusedrnn[plot]'`), which is imported when a picture is drawn. Every function returns
a matplotlib Figure that belongs to no window; with `axes` it draws into those and returns their figure.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusedrnn import _checks
from fusedrnn.training import GradientFlow

__all__ = ["norms", "saturation", "terms"]

Figure: TypeAlias = Any
Axes: TypeAlias = Any
"""Those of matplotlib, which a type checker need not have."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#111111", "#999999")
"""Okabe and Ito's, which stay apart for every kind of colour vision; a line style more whenever they begin again."""

LINE_STYLES = ("-", "--", ":", "-.")


def norms(
    flows: GradientFlow | Mapping[str, GradientFlow],
    of: str = "h",
    *,
    distance: bool = False,
    log: bool = True,
    title: str | None = None,
    axes: Axes | None = None,
) -> Figure:
    """The norm of a gradient at every step, a line for each flow, layer and direction.

    Args:
        flows: one, or several by the names they get in the legend.
        of: "h" for ‖∂L/∂h_t‖, "c" for ‖∂L/∂c_t‖, or the name of a parameter for the norm of each step's term in its
            gradient.
        distance: the horizontal axis is the distance from the last step in place of t.
        log: a logarithmic vertical axis; zeros are left out there.
        title: above the picture; None for none.
        axes: where to draw; None for a figure of its own.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: flows is neither a GradientFlow nor a mapping of names to them.
        ValueError: no flows, or one that has nothing of that name.
    """
    lines = [line for name, flow in _by_name(flows).items() for line in _lines_of(name, flow, of)]
    figure, axes = _canvas(axes)
    for index, (name, values) in enumerate(lines):
        steps = np.arange(len(values))
        _line(axes, index, steps[::-1] if distance else steps, values, name, log)
    symbol = {"h": "‖∂L/∂h_t‖", "c": "‖∂L/∂c_t‖"}.get(of, f"‖term of step t in ∂L/∂{of}‖")
    _dress(axes, "distance from the last step" if distance else "step t", symbol, title, log, len(lines) > 1)
    return figure


def terms(
    flow: GradientFlow,
    names: Sequence[str] | None = None,
    *,
    log: bool = True,
    title: str | None = None,
    axes: Axes | None = None,
) -> Figure:
    """The norm of each step's term in the gradients of parameters, a line for each: ∂L/∂W is the sum of its terms.

    Args:
        flow: of `fusedrnn.gradient_flow`.
        names: of parameters; None for all weights.
        log, title, axes: as of `norms`.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: flow is not a GradientFlow.
        ValueError: a parameter that the flow does not have.
    """
    _only_flow(flow)
    wanted = [name for name in flow.params if "bias" not in name] if names is None else list(names)
    unknown = [str(name) for name in wanted if name not in flow.params]
    if unknown:
        raise ValueError(f"names: expected some of {', '.join(flow.params)}, got {', '.join(unknown)}")
    lines = [(name, flow.params[name]) for name in wanted]
    figure, axes = _canvas(axes)
    for index, (name, values) in enumerate(lines):
        _line(axes, index, np.arange(len(values)), values, name, log)
    _dress(axes, "step t", "‖term of step t‖", title, log, len(lines) > 0)
    return figure


def saturation(flow: GradientFlow, *, title: str | None = None, axes: Axes | None = None) -> Figure:
    """How much of the time each gate is nearly shut, nearly open, or between (Karpathy et al. 2015): a bar for each.

    Args:
        flow: of `fusedrnn.gradient_flow`.
        title, axes: as of `norms`.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: flow is not a GradientFlow.
        ValueError: the flow has no gates that can be saturated, as that of a ReLU network.
    """
    _only_flow(flow)
    if not flow.saturation:
        raise ValueError("flow: expected gates that can be saturated, got none: its activation has no upper end")
    gates = list(flow.saturation)
    low, high = np.array([flow.saturation[gate] for gate in gates]).T
    figure, axes = _canvas(axes, height=1.2 + 0.35 * len(gates))
    parts = (("below 0.1", low, COLOURS[0]), ("between", 1 - low - high, "#DDDDDD"), ("above 0.9", high, COLOURS[1]))
    left = np.zeros(len(gates))
    for name, part, colour in parts:
        axes.barh(gates, part, left=left, color=colour, label=name)
        left += part
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    _dress(axes, "part of a gate's values in its range", "", title, False, False)
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize="small")
    if title:
        axes.set_title(title, pad=24)
    return figure


def _by_name(flows: GradientFlow | Mapping[str, GradientFlow]) -> Mapping[str, GradientFlow]:
    if isinstance(flows, GradientFlow):
        return {"": flows}
    if not isinstance(flows, Mapping) or not all(isinstance(flow, GradientFlow) for flow in flows.values()):
        raise TypeError(f"flows: expected a GradientFlow or a mapping of names to them, got {_checks.describe(flows)}")
    if not flows:
        raise ValueError("flows: expected at least one, got none")
    return flows


def _only_flow(flow: object) -> None:
    if not isinstance(flow, GradientFlow):
        raise TypeError(f"flow: expected a GradientFlow, got {_checks.describe(flow)}")


def _norms_of(flow: GradientFlow, of: str) -> list[tuple[str, NDArray[np.float64]]]:
    """(layer and direction, norms by step) of what `of` names; a parameter has its layer in its name."""
    if of in flow.params:
        return [("", flow.params[of])]
    by_layer = {"h": flow.h, "c": flow.c}.get(of)
    if by_layer is None:
        known = ", ".join(["h", *(["c"] if flow.c is not None else []), *flow.params])
        raise ValueError(f"of: expected one of {known}, got {of!r}")
    layers, directions, _ = by_layer.shape
    return [
        (f"layer {layer}" * (layers > 1) + " reverse" * direction, by_layer[layer, direction])
        for layer in range(layers)
        for direction in range(directions)
    ]


def _lines_of(name: str, flow: GradientFlow, of: str) -> list[tuple[str, NDArray[np.float64]]]:
    return [(f"{name} {place}".strip(), values) for place, values in _norms_of(flow, of)]


def _canvas(axes: Axes | None, height: float = 4.0) -> tuple[Any, Any]:
    if axes is not None:
        return axes.figure, axes
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError(f"plot: needs matplotlib ({error}); pip install 'fusedrnn[plot]'") from None
    figure = module.Figure(figsize=(7.0, height), dpi=120, layout="constrained")
    return figure, figure.add_subplot()


def _line(axes: Any, index: int, x: NDArray[Any], values: NDArray[np.float64], name: str, log: bool) -> None:
    shown = np.where(values > 0, values, np.nan) if log else values
    style = LINE_STYLES[index // len(COLOURS) % len(LINE_STYLES)]
    marker = "." if len(values) <= 30 else None
    axes.plot(x, shown, style, color=COLOURS[index % len(COLOURS)], marker=marker, label=name or None)


def _dress(axes: Any, x_label: str, y_label: str, title: str | None, log: bool, legend: bool) -> None:
    if log:
        axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if title:
        axes.set_title(title)
    if legend:
        axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
