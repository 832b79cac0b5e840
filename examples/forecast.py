"""Forecast a real series: the yearly numbers of sunspots from 1700 to 2008, which ship with statsmodels.

    python examples/forecast.py [--plot FILE] [--seed N] [--threads N]

Eight GRUs read the square roots of the numbers year by year and say the next one; their mean is the forecast. They
learn from windows of the years before 1900, and keep the weights of the epoch that was best on 1900-1939. On held-out
years from 1940 on the program prints the root mean square error one year ahead, beside the last value, the value 11
years before (the length of the cycle), and autoregressions (AR, their order chosen by AIC) of the numbers, which is the
stated baseline, and of their square roots, which comes close. --plot draws the held-out forecasts, and what the GRUs
expect from 1986 on where they read their own forecasts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.datasets import sunspots
from statsmodels.tsa.ar_model import ar_select_order

import fusedrnn as fr

Floats = NDArray[Any]
VALIDATE_FROM, HELD_OUT_FROM, FREE_FROM = 1900, 1940, 1986
MODELS, UNITS, WINDOW, EPOCHS = 8, 32, 80, 40


def windows(series: Floats, length: int) -> tuple[Floats, Floats]:
    """Every window of the series (length, count, 1), and the value that follows each step of it."""
    rows = np.lib.stride_tricks.sliding_window_view(series.astype(np.float32), length + 1).T[..., None]
    return rows[:-1], rows[1:]


def train(series: Floats, validation: Floats, length: int, epochs: int, seed: int) -> fr.nn.Sequential:
    """The weights of the epoch whose loss of `validation` was least; both series are scaled."""
    head = fr.nn.Linear(UNITS, 1, rng=seed + 1000)
    model = fr.nn.Sequential(fr.GRU(1, UNITS, rng=seed), fr.nn.Dropout(0.2, rng=seed), head)
    x, targets = windows(series, length)

    def batches(epoch: int) -> Iterator[tuple[Floats, Floats]]:
        order = np.random.default_rng([seed, epoch]).permutation(x.shape[1])
        return ((x[:, rows], targets[:, rows]) for rows in np.array_split(order, -(-len(order) // 40)))

    optimiser = fr.optim.AdamW(model.params, lr=5e-3, weight_decay=0.1)
    looks = [windows(validation, length)]
    fr.fit(model, batches, optimiser, fr.nn.mse, epochs=epochs, clip_norm=1.0, validation=looks, progress=False)
    return model


def next_values(model: fr.nn.Sequential, series: Floats) -> Floats:
    """What it expects after each value but the last."""
    return model(series[:-1, None, None].astype(np.float32))[0][:, 0, 0]


def forecast(model: fr.nn.Sequential, past: Floats, steps: int) -> Floats:
    """The next values after `past`, each from those before it."""
    y, state = model(past[:, None, None].astype(np.float32))
    values = [y[-1:]]
    for _ in range(steps - 1):
        y, state = model(values[-1], state)
        values.append(y)
    return np.concatenate(values)[:, 0, 0]


def one_step_of_autoregression(series: Floats, begin: int) -> Floats:
    """Forecasts of series[begin:], each from the true values before, by the AR model of series[:begin]."""
    chosen = ar_select_order(series[:begin], maxlag=15, ic="aic").model.fit()
    order = len(chosen.params) - 1
    before = np.lib.stride_tricks.sliding_window_view(series, order)[begin - order : -1, ::-1]
    return chosen.params[0] + before @ chosen.params[1:]


def run(seed: int = 0, epochs: int = EPOCHS) -> dict[str, Any]:
    data = sunspots.load_pandas().data
    years, numbers = data["YEAR"].to_numpy().astype(int), data["SUNACTIVITY"].to_numpy()
    validate, begin, free = (int(np.searchsorted(years, year)) for year in (VALIDATE_FROM, HELD_OUT_FROM, FREE_FROM))
    truth = numbers[begin:]

    roots = np.sqrt(numbers)
    mean, deviation = roots[:begin].mean(), roots[:begin].std()
    series = (roots - mean) / deviation

    def as_numbers(forecasts: list[Floats]) -> Floats:
        return np.maximum(np.mean(forecasts, 0) * deviation + mean, 0) ** 2

    learned, looked_at = series[:validate], series[validate - WINDOW : begin]
    models = [train(learned, looked_at, WINDOW, epochs, seed * MODELS + member) for member in range(MODELS)]
    forecasts = {
        "GRU, mean of eight": as_numbers([next_values(model, series)[begin - 1 :] for model in models]),
        "AR": one_step_of_autoregression(numbers, begin),
        "AR of square roots": one_step_of_autoregression(roots, begin) ** 2,
        "11 years before": numbers[begin - 11 : -11],
        "last value": numbers[begin - 1 : -1],
    }
    errors = {name: float(np.sqrt(((said - truth) ** 2).mean())) for name, said in forecasts.items()}
    return {
        "metric": f"error one year ahead, {HELD_OUT_FROM}-{years[-1]}, less is better: GRU (baseline: AR)",
        "value": errors["GRU, mean of eight"],
        "baseline": errors["AR"],
        "errors": errors,
        "forecasts": forecasts,
        "free": as_numbers([forecast(model, series[:free], len(series) - free) for model in models]),
        "years": years,
        "numbers": numbers,
    }


def draw(found: dict[str, Any], path: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    years, shown = found["years"], found["years"] >= HELD_OUT_FROM - 40
    axes.plot(years[shown], found["numbers"][shown], color="#111111", label="sunspots")
    held_out = years[years >= HELD_OUT_FROM]
    axes.plot(held_out, found["forecasts"]["GRU, mean of eight"], ".-", color="#D55E00", label="GRU, one year ahead")
    axes.plot(held_out, found["forecasts"]["AR"], ":", color="#0072B2", label="AR, one year ahead")
    axes.plot(years[years >= FREE_FROM], found["free"], "--", color="#009E73", label=f"GRU on its own from {FREE_FROM}")
    axes.axvline(HELD_OUT_FROM - 0.5, color="#999999", linewidth=0.8)
    axes.set(xlabel="year", ylabel="sunspots", title=f"held out: from {HELD_OUT_FROM} on")
    axes.legend(frameon=False, ncols=2, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast the yearly numbers of sunspots.")
    parser.add_argument("--plot", metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads is not None:
        fr.set_num_threads(options.threads)
    found = run(options.seed)
    print(f"error one year ahead, {HELD_OUT_FROM}-{found['years'][-1]}:")
    for name, error in found["errors"].items():
        print(f"  {name:20} {error:6.1f}")
    print("\nthe last cycle     sunspots   GRU    AR   on its own")
    for back in range(-13, 0):
        gru, ar = (found["forecasts"][name][back] for name in ("GRU, mean of eight", "AR"))
        year, true, alone = (found[name][back] for name in ("years", "numbers", "free"))
        print(f"  {year} {true:15.0f} {gru:8.0f} {ar:5.0f} {alone:8.0f}")
    if options.plot:
        draw(found, options.plot)
        print(f"picture: {options.plot}")


if __name__ == "__main__":
    main()
