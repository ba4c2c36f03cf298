"""A DQN in one loop, in the style of CleanRL (Huang et al., 2022), on a flat id, with the mask in all three places.

CleanRL's own dqn.py, c51.py and ppo.py run as they are with ``--env-id alenv:SingleClassMine-Flat-v0``; they know no
masks, so an illegal action costs one label.

python -m agents.examples.cleanrl_loop
"""

import copy
import random
from collections import deque

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QNetwork(nn.Module):
    """Q-values (E, A) of flat observations (E, D), whose last A entries are the mask; masked ones are -1e9.

    Args:
        env: With a flat id.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__()
        (width,), self.actions = env.observation_space.shape, int(env.action_space.n)
        self.network = nn.Sequential(
            nn.Linear(width, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, self.actions)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return Q-values."""
        return self.network(8 * x - 4).masked_fill(x[:, -self.actions :] == 0, -1e9)


def main(env_id: str = "alenv:SingleClassMine-Flat-v0", steps: int = 20_000, **kwargs: object) -> float:
    """Train, and return the mean of the last 20 returns."""
    rng = random.Random(0)
    env = gym.make(env_id, **kwargs)
    actions = env.action_space.n
    env.action_space.seed(0)
    q_network = QNetwork(env)
    target = copy.deepcopy(q_network)
    optimizer = torch.optim.Adam(q_network.parameters(), lr=1e-3)
    replay, returns = deque(maxlen=10_000), deque([0.0], maxlen=21)
    obs, _ = env.reset(seed=0)
    for step in range(steps):
        if rng.random() < max(0.05, 1 - 2 * step / steps):
            action = int(env.action_space.sample(obs[-actions:].astype(np.int8)))  # exploration
        else:
            with torch.no_grad():
                action = int(q_network(torch.from_numpy(obs)[None]).argmax())
        following, reward, over, _, _ = env.step(action)
        replay.append((obs, action, reward, following, over))
        returns[-1] += float(reward)
        obs = following
        if over:
            obs, _ = env.reset()
            returns.append(0.0)
        if step > 200 and step % 4 == 0:
            now, taken, rewards, then, ends = map(np.array, zip(*rng.sample(list(replay), 64), strict=True))
            with torch.no_grad():
                best = target(torch.from_numpy(then)).max(1).values
                goal = torch.from_numpy(rewards) + 0.9 * best * torch.from_numpy(~ends)
            q = q_network(torch.from_numpy(now)).gather(1, torch.from_numpy(taken)[:, None])[:, 0]
            loss = F.smooth_l1_loss(q, goal.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step % 500 == 0:
            target.load_state_dict(q_network.state_dict())
    return float(np.mean(list(returns)[:-1]))


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"mean return {main(skip=True):.3f}")
