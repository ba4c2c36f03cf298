"""A DQN in one loop, in the style of CleanRL (Huang et al., 2022), with the mask in all three places.

python -m agents.examples.cleanrl_loop
"""

import copy
import random
from collections import deque

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import alenv  # noqa: F401  registers the ids
from agents.equivariant import Head, Rows


def batched(observations: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Stack observations to tensors with a first axis."""
    return {name: torch.from_numpy(np.stack([obs[name] for obs in observations])) for name in observations[0]}


def main(steps: int = 20_000) -> float:
    """Train, and return the mean of the last 20 returns."""
    rng = random.Random(0)
    env = gym.make("SingleClassMine-v0", skip=True)
    env.action_space.seed(0)
    q_network = nn.Sequential(Rows(env.observation_space, 64), Head(64))  # masked Q is -1e9: arg-max and target
    target = copy.deepcopy(q_network)
    optimizer = torch.optim.Adam(q_network.parameters(), lr=1e-3)
    replay, returns = deque(maxlen=10_000), deque([0.0], maxlen=21)
    obs, _ = env.reset(seed=0)
    for step in range(steps):
        if rng.random() < max(0.05, 1 - 2 * step / steps):
            action = int(env.action_space.sample(obs["action_mask"]))  # exploration
        else:
            with torch.no_grad():
                action = int(q_network(batched([obs])).argmax())
        following, reward, over, _, _ = env.step(action)
        replay.append((obs, action, reward, following, over))
        returns[-1] += float(reward)
        obs = following
        if over:
            obs, _ = env.reset()
            returns.append(0.0)
        if step > 200 and step % 4 == 0:
            now, actions, rewards, then, ends = zip(*rng.sample(list(replay), 64), strict=True)
            with torch.no_grad():
                best = target(batched(then)).max(1).values
                goal = torch.tensor(rewards) + 0.9 * (1 - torch.tensor(ends).float()) * best
            q = q_network(batched(now)).gather(1, torch.tensor(actions)[:, None])[:, 0]
            loss = F.smooth_l1_loss(q, goal.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step % 500 == 0:
            target.load_state_dict(q_network.state_dict())
    return float(np.mean(list(returns)[:-1]))


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"mean return {main():.3f}")
