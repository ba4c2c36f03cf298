"""TorchRL collects frames with a random policy; its transform ``ActionMask`` reads ``action_mask``.

python -m agents.examples.torchrl_collect
"""

from tensordict import TensorDict
from torchrl.collectors import Collector
from torchrl.envs import ActionMask, GymEnv, TransformedEnv

import alenv  # noqa: F401  registers the ids


def main(frames: int = 200) -> TensorDict:
    """Return frames."""
    env = TransformedEnv(GymEnv("SingleClassMine-v0", skip=True, budget=5), ActionMask())
    env.set_seed(0)
    # Not policy=None: the collector would draw from a copy of the action spec, which no mask reaches.
    collector = Collector(env, env.rand_action, frames_per_batch=frames, total_frames=frames)
    try:
        return next(iter(collector)).clone()
    finally:
        collector.shutdown()


if __name__ == "__main__":
    collected = main()
    print(collected)
    print(f"mean reward {collected['next', 'reward'].mean():.4f}")
