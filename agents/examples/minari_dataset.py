"""Minari records episodes as a dataset for offline learning, and they replay: every draw is keyed by the seed.

python -m agents.examples.minari_dataset
"""

import os
import tempfile

import gymnasium as gym
import minari
import numpy as np

import alenv  # noqa: F401  registers the ids


def record(env_id: str, name: str, episodes: int, **kwargs: object) -> minari.MinariDataset:
    """Write episodes of random legal picks to the folder of Minari, and return them."""
    env = minari.DataCollector(gym.make(env_id, **kwargs), record_infos=True)
    env.action_space.seed(0)
    for seed in range(episodes):
        env.reset(seed=seed)
        over = False
        while not over:
            mask = env.unwrapped.action_masks().astype(np.int8)
            _, _, terminated, truncated, _ = env.step(env.action_space.sample(mask))
            over = terminated or truncated
    return env.create_dataset(name, algorithm_name="random legal picks", description="See alenv.")


def replay(dataset: minari.MinariDataset) -> float:
    """Play all episodes again, and return the largest difference of a reward."""
    env, difference = dataset.recover_environment(), 0.0
    records = dataset.storage.get_episode_metadata(range(dataset.total_episodes))
    for episode, record in zip(dataset.iterate_episodes(), records, strict=True):
        env.reset(seed=int(record["seed"]))
        for action, reward in zip(episode.actions, episode.rewards, strict=True):
            difference = max(difference, abs(float(env.step(action)[1]) - reward))
    return difference


def main(env_id: str = "SingleClassMine-v0", episodes: int = 5, **kwargs: object) -> float:
    """Record, load and replay episodes in a folder that is removed; return the largest difference of a reward."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        record(env_id, "alenv/random-v0", episodes, **kwargs)
        return replay(minari.load_dataset("alenv/random-v0"))


if __name__ == "__main__":
    print(f"largest difference of a reward {main()}")
