"""Vanishing and exploding gradients, and what helps: how much of a gradient arrives how many steps further back.

    python examples/vanishing.py [--plot FILE] [--seed N]

Untrained networks of 32 units read 100 random steps, and the loss sees the last output only. For each the program
prints ‖∂L/∂h_t‖ at the distances 10, 30 and 99 as a part of what it is at the last step. Simple networks lose or blow
up the gradient by the product of their steps' Jacobians (equation R4); clipping bounds the update and leaves its shape.
The identity as W_hh with ReLU (IRNN) keeps it, and so do gates that are open at first: of an LSTM the forget gate
(L14), of a GRU the update gate (G10). A last table goes through 12 layers in place of steps: there skip connections
help.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

import fusedrnn as fr

T, B, UNITS, DEPTH = 100, 8, 32, 12
DISTANCES = (10, 30, 99)
LIMIT = 1.0
"""What clipping bounds the norm of all parameters' gradients to."""


def rnn(nonlinearity: str, seed: int, recurrent: Callable[[Any], Any] | None = None) -> fr.RNN:
    """A simple RNN; `recurrent` writes another W_hh and zero biases."""
    layer = fr.RNN(UNITS, UNITS, nonlinearity=nonlinearity, dtype="float64", rng=seed)
    if recurrent is not None:
        recurrent(layer.params["weight_hh_l0"])
        layer.params["bias_ih_l0"][:] = layer.params["bias_hh_l0"][:] = 0
    return layer


def lstm(seed: int, forget_bias: float | None = None) -> fr.LSTM:
    layer = fr.LSTM(UNITS, UNITS, dtype="float64", rng=seed)
    if forget_bias is not None:
        fr.nn.init.forget_bias(layer, forget_bias)
    return layer


def gru(seed: int, update_bias: float = 0.0) -> fr.GRU:
    layer = fr.GRU(UNITS, UNITS, dtype="float64", rng=seed)
    layer.params["bias_ih_l0"][UNITS : 2 * UNITS] += update_bias  # gate z: how much of h' is kept (equation G5)
    return layer


def layers(seed: int) -> dict[str, dict[str, Any]]:
    """The networks by panel of the picture and name."""

    def orthogonal(gain: float) -> Callable[[Any], Any]:
        return lambda weight: fr.nn.init.orthogonal(weight, gain, rng=seed)

    return {
        "sigmoid and tanh": {
            "sigmoid": rnn("sigmoid", seed),
            "tanh": rnn("tanh", seed),
            "tanh, large W_hh": rnn("tanh", seed, orthogonal(4.0)),
        },
        "ReLU": {
            "ReLU": rnn("relu", seed),
            "leaky ReLU": rnn("leaky_relu", seed),
            "ReLU, large W_hh": rnn("relu", seed, orthogonal(3.0)),
            "IRNN": rnn("relu", seed, fr.nn.init.identity),
        },
        "gates": {
            "LSTM": lstm(seed),
            "LSTM, forget bias 1": lstm(seed, 1.0),
            "LSTM, forget bias 4": lstm(seed, 4.0),
            "GRU": gru(seed),
            "GRU, update bias 4": gru(seed, 4.0),
        },
    }


def through_depth(seed: int, skip: bool) -> np.ndarray:
    """The norm of the gradient at the output of each of 12 tanh layers, the loss seeing all of the last one's steps."""
    parts = [fr.RNN(UNITS, UNITS, dtype="float64", rng=seed + depth) for depth in range(DEPTH)]
    y: Any = np.random.default_rng(seed).standard_normal((T, B, UNITS))
    tapes = []
    for part in parts:
        model = fr.nn.Sequential(fr.nn.Residual(part) if skip else part)
        y, _, tape = model.record(y)
        tapes.append(tape)
    gradient = np.ones_like(y)
    norms = []
    for tape in reversed(tapes):
        norms.append(np.linalg.norm(gradient))
        gradient = tape.backward(gradient).x
    return np.array(norms)[::-1]


def run(seed: int = 0) -> dict[str, Any]:
    """Flows by panel and name, the norms through depth, and the parts that arrive."""
    rng = np.random.default_rng(seed)
    x = 0.3 * rng.standard_normal((T, B, UNITS))
    dy = np.zeros((T, B, UNITS))
    dy[-1] = rng.standard_normal((B, UNITS)) / np.sqrt(B * UNITS)
    flows = {
        panel: {name: fr.gradient_flow(layer, x, dy) for name, layer in named.items()}
        for panel, named in layers(seed).items()
    }
    norms = {}
    for named in flows.values():
        for name, flow in named.items():
            norms[name] = flow.h[0, 0, ::-1]  # by distance
    wide = layers(seed)["sigmoid and tanh"]["tanh, large W_hh"]
    _, _, tape = wide.record(x)
    gradients = tape.backward(dy)
    before = fr.optim.clip_grad_norm(gradients, LIMIT)
    norms["the same, clipped"] = norms["tanh, large W_hh"] * min(LIMIT / before, 1.0)
    return {
        "metric": f"part of the gradient at distance {DISTANCES[-1]}: LSTM with forget bias 4 (baseline: tanh RNN)",
        "value": norms["LSTM, forget bias 4"][-1] / norms["LSTM, forget bias 4"][0],
        "baseline": norms["tanh"][-1] / norms["tanh"][0],
        "flows": flows,
        "norms": norms,
        "clipped": (before, fr.optim.grad_norm(gradients)),
        "depth": {"tanh": through_depth(seed, False), "tanh with skip connections": through_depth(seed, True)},
    }


def draw(found: dict[str, Any], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), dpi=120, layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    for axes, (title, named) in zip(panels, found["flows"].items(), strict=False):
        fr.plot.norms(named, distance=True, title=title, axes=axes)
        axes.set_ylim(1e-12, None)
    panels[0].plot(found["norms"]["the same, clipped"], color="#999999", linestyle="--", label="the same, clipped")
    panels[0].legend(frameon=False, fontsize="small")
    for name, norms in found["depth"].items():
        panels[3].semilogy(np.arange(1, DEPTH + 1), norms, marker=".", label=name)
    panels[3].set(title="skip connections: through depth, not time", xlabel="layer", ylabel="‖∂L/∂y of the layer‖")
    panels[3].legend(frameon=False, fontsize="small")
    panels[3].spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How much of a gradient arrives how many steps further back.")
    parser.add_argument("--plot", metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    found = run(options.seed)
    print(f"{'part of the gradient at distance':34}" + "".join(f"{distance:>10}" for distance in DISTANCES))
    for name, norms in found["norms"].items():
        if "clipped" in name:  # the same parts
            continue
        print(f"  {name:32}" + "".join(f"{norms[distance] / norms[0]:10.1e}" for distance in DISTANCES))
    before, after = found["clipped"]
    print(f"\nclipping tanh with the large W_hh: norm of all gradients {before:.3g} before, {after:.3g} after")
    print(f"\n{'norm at the output of layer':34}" + "".join(f"{layer:>10}" for layer in (DEPTH, DEPTH // 2, 1)))
    for name, norms in found["depth"].items():
        print(f"  {name:32}" + "".join(f"{norms[layer - 1]:10.1e}" for layer in (DEPTH, DEPTH // 2, 1)))
    print(f"\n{found['metric']}: {found['value']:.2f} against {found['baseline']:.1e}")
    if options.plot:
        draw(found, options.plot)
        print(f"picture: {options.plot}")


if __name__ == "__main__":
    main()
