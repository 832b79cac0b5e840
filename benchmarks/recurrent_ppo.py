"""A recurrent agent of sb3-contrib, as it is, before and after `fusedrnn.torch.accelerate`.

    pip install '.[torch]' sb3-contrib
    python benchmarks/recurrent_ppo.py [--threads N ...] [--rounds N] [--json FILE]

RecurrentPPO (two LSTMs of 256 units) learns CartPole with hidden velocities, from the same seed as it is and
accelerated. Timed are `predict`, one observation at a time, and learning; compared are the states after the predictions
and the loss of every update.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.callbacks import BaseCallback

from accelerated import Comparison, options
from fusedrnn.torch import accelerate

PREDICTIONS, STEPS = 300, 512


class Positions(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Only where cart and pole are: how fast they move must be remembered."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        space = env.observation_space
        self.observation_space = gymnasium.spaces.Box(space.low[::2], space.high[::2], dtype=np.float32)

    def observation(self, observation: Any) -> Any:
        return observation[::2]


class Losses(BaseCallback):
    """The loss of every update, as the agent logs it."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.values += [self.logger.name_to_value["train/loss"]] if "train/loss" in self.logger.name_to_value else []

    _on_training_end = _on_rollout_start


def agent(accelerated: bool) -> Any:
    """A new agent; all numbers are drawn from one global generator, which it seeds."""
    env = Positions(gymnasium.make("CartPole-v1"))
    made = RecurrentPPO("MlpLstmPolicy", env, n_steps=128, batch_size=128, n_epochs=5, seed=0, device="cpu")
    if accelerated:
        accelerate(made.policy)
    return made


def states(model: Any) -> Any:
    """The last state after PREDICTIONS calls of `predict`."""
    observation, state = np.zeros(2, np.float32), None
    for _ in range(PREDICTIONS):
        _, state = model.predict(observation, state=state, deterministic=True)
    return state


def losses(accelerated: bool) -> list[list[float]]:
    model, heard = agent(accelerated), Losses()
    model.learn(STEPS, callback=heard, log_interval=None)
    return [heard.values]


def main(argv: Sequence[str] | None = None) -> None:
    comparison = Comparison(options(__doc__, "recurrent_ppo.py", argv), ["sb3-contrib", "stable-baselines3"])
    warnings.simplefilter("ignore")
    name = "sb3-contrib RecurrentPPO"
    theirs, mine = agent(False), agent(False)
    print(accelerate(mine.policy))
    for _ in comparison.threads():
        comparison.predict(name, f"{PREDICTIONS} × predict", partial(states, theirs), partial(states, mine))
        comparison.train(name, f"learn({STEPS})", partial(losses, False), partial(losses, True))


if __name__ == "__main__":
    sys.exit(main())
