"""PPO of RLlib with its masking module. RLlib pins an older Gymnasium, so it lives in an environment of its own.

Seen with ray 2.60.0, which asks for gymnasium 1.2.2.

    make rllib
"""

from typing import Any

import gymnasium as gym
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune import register_env

import alenv  # noqa: F401  registers the ids
from alenv.wrappers import RllibObs


def main(iterations: int = 5, env_id: str = "alenv:SingleClassMine-v0", **kwargs: Any) -> float:
    """Train in this process, and return the mean return of the last episodes."""
    register_env("mine", lambda config: RllibObs(gym.make(env_id, **kwargs)))
    network = {"head_fcnet_hiddens": [64, 64], "head_fcnet_activation": "relu"}
    config = (
        PPOConfig()
        .environment("mine")
        .env_runners(num_env_runners=0)
        .training(gamma=0.9, lr=1e-3, train_batch_size_per_learner=1_000, minibatch_size=100, num_epochs=5)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule, model_config=network))
        .debugging(seed=0)
    )
    algorithm = config.build_algo()
    result: dict[str, Any] = {}
    for iteration in range(iterations):
        result = algorithm.train()
        print(f"iteration {iteration + 1}: mean return {result['env_runners']['episode_return_mean']:.3f}", flush=True)
    algorithm.stop()
    return float(result["env_runners"]["episode_return_mean"])


if __name__ == "__main__":
    main(skip=True)
