"""PPO of TorchRL on the native batch: ``ActionMask`` for what may be drawn, and a policy that gives the rest no chance.

TorchRL resets the environments itself (``autoreset_mode="Disabled"``).

python -m agents.examples.torchrl_ppo
"""

import gymnasium as gym
import torch
from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential, TensorDictModule
from torch import Tensor, nn
from torchrl.collectors import Collector
from torchrl.envs import ActionMask, Compose, DTypeCastTransform, GymWrapper, RewardSum, TransformedEnv
from torchrl.modules import MaskedOneHotCategorical, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import alenv  # noqa: F401  registers the ids
from agents.equivariant import Head, Rows, Value

SEEN = {"candidates": "candidates", "observation": "state", "action_mask": "action_mask"}
"""What the networks see, by TorchRL's names: it calls ``state`` an observation."""


class Network(nn.Module):
    """Rows of the candidates and a head on them, called with the entries of an observation.

    Args:
        space: Of the observations of one episode.
        head: Of actions or of the value.
    """

    def __init__(self, space: gym.spaces.Dict, head: nn.Module) -> None:
        super().__init__()
        self.rows, self.head = Rows(space, 64), head

    def forward(self, *seen: Tensor) -> Tensor:
        """Return logits or a value, with the leading axes of the observation."""
        axes = seen[1].shape[:-1]
        flat = (part.reshape(-1, *part.shape[len(axes) :]) for part in seen)
        return self.head(self.rows(dict(zip(SEEN.values(), flat, strict=True)))).unflatten(0, axes)


def main(steps: int = 64_000, envs: int = 32) -> float:
    """Train, and return the mean return of the last episodes."""
    batch = gym.make_vec("SingleClassMine-v0", num_envs=envs, autoreset_mode="Disabled", skip=True)
    to_bool = DTypeCastTransform(torch.int8, torch.bool, in_keys=["action_mask"])  # as its distributions want it
    env = TransformedEnv(GymWrapper(batch), Compose(to_bool, ActionMask(), RewardSum()))
    env.set_seed(0)
    space = batch.single_observation_space
    logits = TensorDictModule(Network(space, Head(64)), in_keys=list(SEEN), out_keys=["logits"])
    draw = ProbabilisticTensorDictModule(
        in_keys={"logits": "logits", "mask": "action_mask"},
        out_keys=["action"],
        distribution_class=MaskedOneHotCategorical,
        return_log_prob=True,
    )
    actor = ProbabilisticTensorDictSequential(logits, draw)
    critic = ValueOperator(Network(space, Value(64)), in_keys=list(SEEN))
    advantage, loss = GAE(gamma=0.9, lmbda=0.95, value_network=critic), ClipPPOLoss(actor, critic, entropy_coeff=0.01)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    whole = steps // (50 * envs) * 50 * envs
    collector = Collector(
        env, actor, frames_per_batch=50 * envs, total_frames=whole, auto_register_policy_transforms=False
    )
    returns = torch.zeros(1)
    for frames in collector:
        with torch.no_grad():
            advantage(frames)
        for _ in range(4):
            for part in frames.reshape(-1)[torch.randperm(frames.numel())].split(400):
                losses = loss(part)
                optimizer.zero_grad()
                sum(losses[f"loss_{name}"] for name in ("objective", "critic", "entropy")).backward()
                optimizer.step()
        if frames["next", "done"].any():
            returns = frames["next", "episode_reward"][frames["next", "done"]]
    collector.shutdown()
    return float(returns.mean())


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"mean return {main():.3f}")
