"""Forecast a real series: the yearly numbers of sunspots from 1700 to 2008, which ship with statsmodels.

    python examples/forecast.py [--plot FILE] [--seed N] [--threads N]

Eight GRUs read the square roots of the numbers year by year and say the next one; their mean is the forecast. How long
they learn is decided on 1900-1939; then they learn all years before 1940. On the held-out years from 1940 on the
program prints the root mean square error one year ahead, beside the last value, the value 11 years before (the length
of the cycle), and an autoregression (AR, its order chosen by AIC). The stated baseline is the AR of the numbers; that
of their square roots is about as good as the GRUs, for 240 years are little to learn from. --plot draws the held-out
forecasts, and what the GRUs expect from 1986 on where they read their own forecasts.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.datasets import sunspots
from statsmodels.tsa.ar_model import ar_select_order

import fusedrnn as fr

Floats = NDArray[Any]
VALIDATE_FROM, HELD_OUT_FROM, FREE_FROM = 1900, 1940, 1986
MODELS, UNITS, LOOK_EVERY, LOOKS = 8, 32, 10, 25


class Forecaster:
    """A GRU that has learned to say the next value of a series (T, 1, 1)."""

    def __init__(self, seed: int) -> None:
        head = fr.nn.Linear(UNITS, 1, rng=seed + 1000)
        self.model = fr.nn.Sequential(fr.GRU(1, UNITS, rng=seed), fr.nn.Dropout(0.2, rng=seed), head)
        self.optimiser = fr.optim.AdamW(self.model.params, lr=5e-3, weight_decay=0.1)

    def learn(self, series: Floats, steps: int) -> None:
        batch = series[:-1], series[1:]
        fr.fit(self.model, [batch], self.optimiser, fr.nn.mse, steps=steps, clip_norm=1.0, progress=False)

    def next_values(self, series: Floats) -> Floats:
        """What follows each value of the series but the last."""
        return self.model(series[:-1])[0]

    def go_on(self, series: Floats, steps: int) -> Floats:
        """Its own forecasts, each read as if it had come true."""
        y, state = self.model(series)
        found = [y[-1:]]
        while len(found) < steps:
            y, state = self.model(found[-1], state)
            found.append(y)
        return np.concatenate(found)


def one_step_of_autoregression(series: Floats, begin: int) -> Floats:
    """Forecasts of series[begin:], each from the true values before, by the AR model of series[:begin]."""
    chosen = ar_select_order(series[:begin], maxlag=15, ic="aic").model.fit()
    order = len(chosen.params) - 1
    before = np.lib.stride_tricks.sliding_window_view(series, order)[begin - order : -1, ::-1]
    return chosen.params[0] + before @ chosen.params[1:]


def run(seed: int = 0) -> dict[str, Any]:
    data = sunspots.load_pandas().data
    years, numbers = data["YEAR"].to_numpy().astype(int), data["SUNACTIVITY"].to_numpy()
    validate, begin, free = (int(np.searchsorted(years, year)) for year in (VALIDATE_FROM, HELD_OUT_FROM, FREE_FROM))
    truth = numbers[begin:]

    roots = np.sqrt(numbers)
    mean, deviation = roots[:begin].mean(), roots[:begin].std()
    series = ((roots - mean) / deviation).astype(np.float32)[:, None, None]

    def as_numbers(forecasts: list[Floats]) -> Floats:
        return (np.maximum(np.mean(forecasts, 0)[:, 0, 0] * deviation + mean, 0)) ** 2

    looks = np.zeros(LOOKS)
    for member in range(MODELS):
        forecaster = Forecaster(seed * MODELS + member)
        for look in range(LOOKS):
            forecaster.learn(series[:validate], LOOK_EVERY)
            said = forecaster.next_values(series[:begin])[validate - 1 :]
            looks[look] += ((said - series[validate:begin]) ** 2).mean()
    steps = LOOK_EVERY * (1 + int(looks.argmin()))

    members = [Forecaster(seed * MODELS + member) for member in range(MODELS)]
    for forecaster in members:
        forecaster.learn(series[:begin], steps)
    forecasts = {
        "GRU, mean of eight": as_numbers([one.next_values(series)[begin - 1 :] for one in members]),
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
        "free": as_numbers([one.go_on(series[:free], len(series) - free) for one in members]),
        "years": years,
        "numbers": numbers,
        "steps": steps,
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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Forecast the yearly numbers of sunspots.")
    parser.add_argument("--plot", metavar="FILE", help="draw it (needs matplotlib)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args(argv)
    if options.threads is not None:
        fr.set_num_threads(options.threads)
    found = run(options.seed)
    print(f"learned for {found['steps']} steps; error one year ahead, {HELD_OUT_FROM}-{found['years'][-1]}:")
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
