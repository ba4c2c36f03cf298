"""DQN of Tianshou, which masks by ``obs.mask``: that is what ``TianshouObs`` adds.

python -m agents.examples.tianshou_dqn
"""

from typing import Any

import gymnasium as gym
import torch
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams
from torch import Tensor, nn

import alenv  # noqa: F401  registers the ids
from agents.equivariant import Head, Rows
from alenv.wrappers import TianshouObs


class Network(nn.Module):
    """Q-values (E, A), called as Tianshou does.

    Args:
        space: Of observations.
    """

    def __init__(self, space: gym.spaces.Dict) -> None:
        super().__init__()
        self.rows, self.head = Rows(space, 64), Head(64)

    def forward(self, obs: Any, state: Any = None, info: Any = None) -> tuple[Tensor, Any]:
        """Return Q-values and no state of recurrence."""
        shown = {name: torch.as_tensor(obs[name]) for name in ("candidates", "state", "action_mask")}
        return self.head(self.rows(shown)), state


def main(steps: int = 10_000, env_id: str = "SingleClassMine-v0", **kwargs: Any) -> float:
    """Train, and return the best mean return of 20 greedy episodes."""

    def make() -> gym.Env:
        return TianshouObs(gym.make(env_id, **kwargs))

    env = make()
    policy = DiscreteQLearningPolicy(
        model=Network(env.observation_space["obs"]), action_space=env.action_space, eps_training=0.1
    )
    algorithm = DQN(policy=policy, optim=AdamOptimizerFactory(lr=1e-3), gamma=0.9, target_update_freq=200)
    envs, tests = DummyVectorEnv([make] * 4), DummyVectorEnv([make] * 4)
    envs.seed(0), tests.seed(1_000)
    training = Collector(algorithm, envs, VectorReplayBuffer(10_000, 4))
    training.reset()
    training.collect(n_step=min(steps, 500), random=True)
    parameters = OffPolicyTrainerParams(
        training_collector=training,
        test_collector=Collector(algorithm, tests),
        max_epochs=1,
        epoch_num_steps=steps,
        collection_step_num_env_steps=4,
        test_step_num_episodes=20,
        update_step_num_gradient_steps_per_sample=0.25,
        show_progress=False,
        verbose=False,
    )
    return float(algorithm.run_training(parameters).best_reward)


if __name__ == "__main__":
    print(f"mean return {main(skip=True):.3f}")
