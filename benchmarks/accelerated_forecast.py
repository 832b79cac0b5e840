"""Forecasting models of Darts, as they are, before and after `fusedrnn.torch.accelerate`.

    pip install '.[torch]' 'u8darts[torch]'
    python benchmarks/accelerated_forecast.py [--threads N ...] [--rounds N] [--json FILE]

RNNModel (an LSTM that forecasts a step at a time) and BlockRNNModel (a GRU of two layers) learn a noisy series of three
periods. Lightning trains them; `accelerate` stands in a callback, since Darts makes the network when training begins.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning
from darts import TimeSeries
from darts.models import BlockRNNModel, RNNModel

from accelerated import Comparison, options
from fusedrnn.torch import accelerate

EPOCHS, HORIZON = 2, 200


class Accelerate(pytorch_lightning.Callback):
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        accelerate(pl_module)


class Losses(pytorch_lightning.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.values.append(float(outputs["loss"]))


def series() -> TimeSeries:
    time = np.arange(600)
    noise = np.random.default_rng(0).normal(0, 0.1, time.size)
    values = np.sin(time / 4) + 0.5 * np.sin(time / 11) + 0.3 * np.sin(time / 40) + noise
    return TimeSeries.from_values(values.astype(np.float32))


def rnn_model(**trainer: Any) -> Any:
    return RNNModel(
        48, "LSTM", hidden_dim=128, training_length=96, n_epochs=EPOCHS, random_state=0, pl_trainer_kwargs=trainer
    )


def block_rnn_model(**trainer: Any) -> Any:
    return BlockRNNModel(
        96, 24, model="GRU", hidden_dim=128, n_rnn_layers=2, n_epochs=EPOCHS, random_state=0, pl_trainer_kwargs=trainer
    )


def fitted(make: Callable[..., Any], data: TimeSeries, accelerated: bool) -> tuple[Any, list[float]]:
    """A new model, trained, and its losses."""
    losses = Losses()
    callbacks = [losses, Accelerate()] if accelerated else [losses]
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    model = make(accelerator="cpu", callbacks=callbacks, **quiet)
    return model.fit(data), losses.values


def losses(make: Callable[..., Any], data: TimeSeries, accelerated: bool) -> list[list[float]]:
    return [fitted(make, data, accelerated)[1]]


def forecast(model: Any) -> list[Any]:
    return [model.predict(HORIZON, verbose=False, show_warnings=False).values()]


def main(argv: Sequence[str] | None = None) -> None:
    comparison = Comparison(options(__doc__, "accelerated_forecast.py", argv), ["u8darts", "pytorch-lightning"])
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    data = series()
    models = {"Darts RNNModel, LSTM of 128": rnn_model, "Darts BlockRNNModel, GRU of 128, two layers": block_rnn_model}
    for name, make in models.items():
        model, twin = fitted(make, data, False)[0], fitted(make, data, False)[0]
        print(accelerate(twin.model))
        for _ in comparison.threads():
            comparison.predict(name, f"predict({HORIZON})", partial(forecast, model), partial(forecast, twin))
            theirs, mine = (partial(losses, make, data, accelerated) for accelerated in (False, True))
            comparison.train(name, f"fit, {EPOCHS} epochs", theirs, mine)


if __name__ == "__main__":
    sys.exit(main())
