"""A recurrent policy for a task that one look does not solve: the T-maze (Bakker 2002), learned by REINFORCE.

    python examples/policy.py [--seed N] [--threads N]

At its first step the walker sees a sign, left or right. Then comes a corridor, every place of which looks the same, and
at its end a junction, where it must turn as the sign said. What it sees there does not tell; it has to remember.

Rows of episodes lie one after the other in time, as the walkers lived them: `reset` is true where one begins, so one
call of (T, B) trains on all of them. To act, the same network goes step by step as a stream.

It prints the share of turns that are right, in corridors as long as those of training and longer, beside the baseline:
the same network, trained in the same way, with its state reset at every step.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np

import fusedrnn as fr

SEES = ("left", "right", "corridor", "junction")
ACTIONS = ("on", "left", "right")


class Mazes:
    """One walker in each of `rows` mazes; a walker that is through begins again in a new one."""

    def __init__(self, rows: int, lengths: tuple[int, int], rng: np.random.Generator) -> None:
        self.rng, self.lengths = rng, lengths
        self.sign, self.length, self.place = np.zeros((3, rows), np.int64)
        self.begins = np.ones(rows, bool)
        self._begin()

    def _begin(self) -> None:
        count = int(self.begins.sum())
        self.sign[self.begins] = self.rng.integers(2, size=count)
        self.length[self.begins] = self.rng.integers(self.lengths[0], self.lengths[1] + 1, count)
        self.place[self.begins] = 0

    def look(self) -> np.ndarray:
        """What each walker sees: (rows, 4), one-hot."""
        junction = SEES.index("junction")
        seen = np.where(self.place == 0, self.sign, np.where(self.place == self.length, junction, junction - 1))
        return np.eye(len(SEES), dtype=np.float32)[seen]

    def step(self, actions: np.ndarray) -> np.ndarray:
        """The reward of each: 1 for the right turn, -1 for the wrong one, -0.1 for a bump into a wall."""
        at_junction = self.place == self.length
        turned = at_junction & (actions > 0)
        moved = ~at_junction & (actions == 0)
        self.place += moved
        self.begins = turned
        reward = np.where(turned, np.where(actions - 1 == self.sign, 1.0, -1.0), np.where(moved, 0.0, -0.1))
        self._begin()
        return reward


class Policy:
    """Probabilities of actions by a GRU; without memory its state is reset at every step."""

    def __init__(self, memory: bool, seed: int, units: int = 32) -> None:
        rng = np.random.default_rng(seed)
        self.model = fr.nn.Sequential(fr.GRU(len(SEES), units, rng=rng), fr.nn.Linear(units, len(ACTIONS), rng=rng))
        self.memory, self.rng = memory, rng

    def play(self, mazes: Mazes, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Walk: what was seen (T, B, 4), what was done, what it brought, and where episodes began."""
        gru, head = self.model
        stream = gru.stream(len(mazes.begins))
        seen, done, rewards, begins = [], [], [], []
        for _ in range(steps):
            begins.append(mazes.begins | (not self.memory))
            seen.append(mazes.look())
            stream.reset(begins[-1])
            logits = head(stream.step(seen[-1]))
            done.append((logits + self.rng.gumbel(size=logits.shape)).argmax(-1))  # drawn from their softmax
            rewards.append(mazes.step(done[-1]))
        return np.array(seen), np.array(done), np.array(rewards), np.array(begins)

    def train(self, updates: int, rows: int = 64, steps: int = 32, lengths: tuple[int, int] = (1, 6)) -> None:
        """REINFORCE (Williams 1992): what was done becomes likelier by what it brought, less the mean of that."""
        optimiser = fr.optim.Adam(self.model.params, lr=1e-2)
        for _ in range(updates):
            mazes = Mazes(rows, lengths, self.rng)
            seen, done, rewards, begins = self.play(mazes, steps)
            value = returns(rewards, seen[..., :2].any(-1))
            advantage = (value - value.mean()) / (value.std() + 1e-6)
            loss = partial(fr.nn.cross_entropy, weights=advantage)
            gradients = self.model.record_loss(seen, done, loss, reset=begins)[2].backward()
            fr.optim.clip_grad_norm(gradients, 1.0)
            optimiser.step(gradients)


def returns(rewards: np.ndarray, begins: np.ndarray, discount: float = 0.95) -> np.ndarray:
    """The discounted sum of the rewards from each step to the end of its episode."""
    total = np.zeros_like(rewards)
    after = np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        total[t] = rewards[t] + discount * after
        after = np.where(begins[t], 0, total[t])
    return total


def success(policy: Policy, length: int, rows: int = 200) -> float:
    """The share of right turns among first turns, in corridors of one length."""
    rewards = policy.play(Mazes(rows, (length, length), policy.rng), 3 * length + 10)[2]
    turns = np.where(np.abs(rewards) == 1, rewards, 0)
    first = turns[(turns != 0).argmax(0), np.arange(rows)]
    return float((first == 1).mean())


def walk(policy: Policy, length: int) -> str:
    """One episode in words."""
    mazes = Mazes(1, (length, length), policy.rng)
    sign = ACTIONS[1 + int(mazes.sign[0])]
    _, done, rewards, _ = policy.play(mazes, 3 * length)
    over = int((np.abs(rewards[:, 0]) == 1).argmax())
    words = " ".join(ACTIONS[action] for action in done[: over + 1, 0])
    return f"sign {sign}: {words}: {'right' if rewards[over, 0] == 1 else 'wrong'}"


def run(seed: int = 0, updates: int = 150) -> dict:
    """Train a policy with memory and one without; the share of right turns by length of the corridor."""
    right = {}
    for name, memory in (("without memory", False), ("with memory", True)):
        policy = Policy(memory, seed)
        policy.train(updates)
        right[name] = {length: success(policy, length) for length in (4, 6, 12, 24)}
    return {
        "metric": "right turns", "value": right["with memory"][12], "baseline": right["without memory"][12],
        "right": right, "policy": policy,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=fr.get_num_threads())
    options = parser.parse_args(argv)
    if options.seed < 0 or options.threads < 1:
        parser.error("expected a seed of at least 0 and at least one thread")
    with fr.threads(options.threads):
        found = run(options.seed)
        for _ in range(3):
            print(walk(found["policy"], 6))
    print("\nright turns by length of the corridor (1 to 6 in training)")
    for name, row in found["right"].items():
        print(f"  {name:<16}" + "".join(f"{length:>5}: {100 * share:5.1f} %" for length, share in row.items()))


if __name__ == "__main__":
    main()
