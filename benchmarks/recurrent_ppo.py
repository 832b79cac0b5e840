"""A recurrent agent of sb3-contrib, as it is, before and after `fusedrnn.torch.accelerate`.

    pip install '.[torch]' sb3-contrib
    python benchmarks/recurrent_ppo.py [--steps N] [--threads N]

RecurrentPPO (two LSTMs of 256 units) learns CartPole with hidden velocities, twice from the same seed: once as it is,
once accelerated. Printed are the times of `predict`, one observation at a time, and of learning, and how far states and
parameters are apart at the end.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from typing import Any

import gymnasium
import numpy as np
import torch
from sb3_contrib import RecurrentPPO

from fusedrnn.torch import accelerate

ROUNDS, PREDICTIONS = 7, 300


class Positions(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Only where cart and pole are: how fast they move must be remembered."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        space = env.observation_space
        self.observation_space = gymnasium.spaces.Box(space.low[::2], space.high[::2], dtype=np.float32)

    def observation(self, observation: Any) -> Any:
        return observation[::2]


def agent(accelerated: bool) -> Any:
    env = Positions(gymnasium.make("CartPole-v1"))
    made = RecurrentPPO("MlpLstmPolicy", env, n_steps=128, batch_size=128, n_epochs=5, seed=0, device="cpu")
    if accelerated:
        print(accelerate(made.policy))
    return made


def predictions(model: Any) -> tuple[float, Any]:
    """Seconds of each of PREDICTIONS calls of `predict`, and the last state."""
    observation, state = np.zeros(2, np.float32), None
    began = time.perf_counter()
    for _ in range(PREDICTIONS):
        _, state = model.predict(observation, state=state, deterministic=True)
    return (time.perf_counter() - began) / PREDICTIONS, state


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=512, help="of the environment, to learn from")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    agents = {"PyTorch": agent(False), "accelerated": agent(True)}
    seconds: dict[str, list[float]] = {name: [] for name in agents}
    states: dict[str, Any] = {}
    for _ in range(ROUNDS):
        for name, model in agents.items():
            found, states[name] = predictions(model)
            seconds[name].append(found)
    report("predict", {name: statistics.median(values) for name, values in seconds.items()}, 1e6, "us")
    apart = max(np.abs(a - b).max() for a, b in zip(*states.values(), strict=True))
    print(f"  states after {PREDICTIONS} steps: {apart:.1e} apart")
    learning = {}
    for name, model in agents.items():
        model.set_random_seed(0)  # all numbers are drawn from one global generator
        began = time.perf_counter()
        model.learn(options.steps)
        learning[name] = time.perf_counter() - began
    report(f"learn({options.steps})", learning, 1.0, "s")
    theirs, ours = (dict(model.policy.named_parameters()) for model in agents.values())
    apart = max(float((theirs[name] - ours[name]).detach().abs().max()) for name in theirs)
    print(f"  parameters after it: {apart:.1e} apart")


def report(what: str, seconds: dict[str, float], scale: float, unit: str) -> None:
    theirs, ours = seconds["PyTorch"] * scale, seconds["accelerated"] * scale
    print(f"{what}: PyTorch {theirs:.1f} {unit}, accelerated {ours:.1f} {unit}, {theirs / ours:.2f} times as fast")


if __name__ == "__main__":
    main()
