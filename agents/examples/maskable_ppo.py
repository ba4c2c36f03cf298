"""MaskablePPO of sb3-contrib as it comes: it asks the environment for ``action_masks()``.

python -m agents.examples.maskable_ppo
"""

import gymnasium as gym
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import alenv  # noqa: F401  registers the ids


def main(steps: int = 20_000) -> float:
    """Train, and return the mean return of 20 greedy episodes."""
    env = Monitor(gym.make("SingleClassMine-v0"))
    model = MaskablePPO("MultiInputPolicy", env, n_steps=500, batch_size=100, gamma=0.9, seed=0)
    model.learn(steps)
    return float(evaluate_policy(model, env, n_eval_episodes=20)[0])


if __name__ == "__main__":
    print(f"mean return {main():.3f}")
