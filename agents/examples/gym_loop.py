"""An episode with nothing but Gymnasium: random legal picks.

python -m agents.examples.gym_loop
"""

import gymnasium as gym

import alenv  # noqa: F401  registers the ids


def main(env_id: str = "RegionSelect-v0", seed: int = 0) -> float:
    """Play one episode and return the sum of its rewards: mIoU points gained."""
    env = gym.make(env_id)
    env.action_space.seed(seed)
    obs, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        action = env.action_space.sample(obs["action_mask"])
        obs, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    return total


if __name__ == "__main__":
    print(f"gained {main():.2f} points")
