"""A tour of alenv in two minutes: read it from top to bottom, and run it.

python -m agents.examples.tour

It makes an environment, compares policies on paired seeds, adds a score of one's own, trains an agent, and draws what
the agent bought: tour/episode.png.
"""

from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image
from rich.console import Console

import alenv  # noqa: F401  registers the ids
from agents.catalogue import make_policy
from agents.lookahead import Args, Run, make_envs
from agents.play import evaluate, shown_to
from agents.training import train
from alenv.acquisition import Score, entropy

ENV = "RegionSelect-v0"
SMALL = {"segmenter": "lda", "budget": 96}
"""The fastest model (a head in closed form), and four rounds of 24 picks."""


# --- 3. A score of your own: a function of what the model predicts. Its import path is its name, see main(). ---


def doubt_about_things(probs):
    """How unsure the model is, where it sees anything but the first three classes: sky, building and road.

    From predictions (n, C, rows, columns) to maps (n, rows, columns); a region has the mean of its map.
    """
    return entropy(probs) * (1 - probs[:, :3].sum(1))


things = Score(doubt_about_things, ("probs",), lambda classes: 1, about="doubt about what is small")


def compare(names, seeds, random=None):
    """Play policies on the same seeds, which give all of them the same initial labels and candidates."""
    means = {}
    for name in names:
        episodes = evaluate(make_policy(name), ENV, {**SMALL, "pool": "eval"}, range(seeds), ("test",))
        means[name] = np.array([np.mean(episode.metrics["miou/test"]) for episode in episodes])
        random = means[name] if random is None else random
        ahead = means[name] - random  # paired: how hard a seed is cancels
        print(f"  {name:32} mIoU {means[name].mean():5.2f} over the budget, {ahead.mean():+.2f} to random")
    return means


def main(out: str = "tour", seeds: int = 3, iterations: int = 3) -> dict[str, np.ndarray]:
    """Take the tour."""
    folder = Path(out)

    # --- 1. An environment: a pool of street scenes, of which a few are labelled, and a model that is trained inside.
    env = gym.make(ENV, **SMALL, scores=["entropy"])
    obs, info = env.reset(seed=0)
    print(f"{len(obs['action_mask'])} candidates with {len(env.unwrapped.feature_names)} features each, such as")
    first = zip(env.unwrapped.feature_names, obs["candidates"][0], strict=True)
    print(" ", ", ".join(f"{name} {value:.2f}" for name, value in first))
    print(f"legal: {obs['action_mask'].sum()}, entropies: {obs['scores'][:, 0].round(2)}")
    print(f"the model has {info['miou']:.1f} points of mIoU; a pick is the number of a candidate:")
    obs, reward, _, _, info = env.step(int(obs["scores"][:, 0].argmax()))
    print(f"region {info['picked']} (image, y, x) is bought; the reward, {reward}, comes with the end of a round\n")

    # --- 2. Policies, fairly: random picks, the largest entropy, the largest BALD. ---
    print("the same seeds for all:")
    means = compare(["random", "entropy", "bald"], seeds)

    # --- 3. The score above, by its import path: nothing has to be registered. ---
    print("\na score of one's own:")
    means |= compare(["agents.examples.tour:things"], seeds, means["random"])

    # --- 4. An agent: it learns what labels would gain, where all labels are known, and is judged where they are not.
    print("\na small training:")
    args = Args(out=folder, budget=96, iterations=iterations, kwargs={"segmenter": "lda"}, validation_episodes=4)
    train(Run(args, make_envs(args)), Console(highlight=False))
    agent = f"lookahead:{folder / 'best.pt'}"
    means |= compare([agent], seeds, means["random"])

    # --- 5. A picture: image, bought labels, and what the model then sees. ---
    policy = make_policy(agent)
    env = gym.make(ENV, **shown_to(policy, SMALL), pool="eval", render_mode="rgb_array")
    obs, info = env.reset(seed=0)
    policy.reset(0)
    over = False
    while not over:
        obs, _, over, _, info = env.step(policy.act(obs, info))
    Image.fromarray(env.render().repeat(2, 0).repeat(2, 1)).save(folder / "episode.png")
    print(f"\n{folder / 'episode.png'}: what the agent bought; `python -m agents.film` makes a film of it")
    return means


if __name__ == "__main__":
    main()
