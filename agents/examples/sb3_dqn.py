"""DQN of Stable-Baselines3, which has no masks, with the masks and networks of this package.

python -m agents.examples.sb3_dqn
"""

import gymnasium as gym
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import alenv  # noqa: F401  registers the ids
from agents.equivariant import Rows
from agents.sb3_models import MaskedDQN, MaskedDQNPolicy


def main(steps: int = 20_000) -> float:
    """Train, and return the mean return of 20 greedy episodes."""
    env = Monitor(gym.make("SingleClassMine-v0"))
    network = {"features_extractor_class": Rows, "features_extractor_kwargs": {"hidden": 64}, "net_arch": []}
    model = MaskedDQN(
        MaskedDQNPolicy, env, policy_kwargs=network, learning_rate=1e-3, gamma=0.9, learning_starts=500, seed=0
    )
    model.learn(steps)
    return float(evaluate_policy(model, env, n_eval_episodes=20)[0])


if __name__ == "__main__":
    print(f"mean return {main():.3f}")
