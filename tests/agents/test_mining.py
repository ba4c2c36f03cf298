"""Policies of SingleClassMine: by the rules, reproducible, and better than random where they should be."""

import gymnasium as gym
import numpy as np
import pytest

from agents.mining import POLICIES, ArgMax, CosineRidge, Regressor, UpperRidge, play
from alenv.mining.features import RELATIONS

ID = "SingleClassMine-v0"
SMALL = {"dataset": "mixture:2000", "pool": "eval", "budget": 15, "observation": "embedding"}


def names(env):
    env.reset(seed=0)
    task = env.unwrapped._task
    return [task.classes[c] for c in task.eligible]


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_plays_by_the_rules_and_repeats(name):
    policy = POLICIES[name]()
    assert policy.name == name
    assert policy.oracle == (name == "oracle")
    env = gym.make(ID, **{**SMALL, "observation": policy.observation, "skip": True})
    first = play(policy, env, 3)
    assert env.unwrapped.get_state()["counters"] == (15, 0, 0)
    assert play(POLICIES[name](), env, 3) == first


def test_oracle_then_cosine_ridge_then_random():
    env = gym.make(ID, **{**SMALL, "budget": 30})
    targets = names(env)[::4]
    mean = {
        name: np.array([sum(play(POLICIES[name](), env, seed, target) for seed in (0, 1, 2)) for target in targets])
        for name in ("random", "cosine_ridge", "oracle")
    }
    assert (mean["cosine_ridge"] > mean["random"]).mean() >= 0.8
    assert (mean["oracle"] > mean["cosine_ridge"]).all()


def test_shuffled_features_are_no_better_than_random():
    rng = np.random.default_rng(0)

    class Shuffled(CosineRidge):
        def utility(self, features):
            return rng.permutation(super().utility(features))

    env = gym.make(ID, **SMALL)
    targets = names(env)[::2]
    total = {
        p.name if type(p) is not Shuffled else "shuffled": sum(play(p, env, s, t) for s in range(4) for t in targets)
        for p in (Shuffled(), CosineRidge(), POLICIES["random"]())
    }
    assert total["shuffled"] < (total["random"] + total["cosine_ridge"]) / 2


def test_upper_bound_is_on_the_scale_of_labels():
    features = np.full((2, len(RELATIONS)), 0.5)
    mean = np.array([0.5, -0.25])
    features[:, RELATIONS.index("ridge_mean")] = 0.5 + (mean - mean.mean()) / 4
    features[:, RELATIONS.index("ridge_deviation")] = [0.2, 0.8]
    utility = UpperRidge().utility(features)
    assert utility[0] - utility[1] == pytest.approx(0.75 - 0.5 * 0.6)


def test_policies_by_utility_do_not_depend_on_the_order_of_candidates():
    features = np.random.default_rng(0).random((20, len(RELATIONS)))
    order = np.random.default_rng(1).permutation(20)
    for make in POLICIES.values():
        policy = make()
        if isinstance(policy, ArgMax) and not isinstance(policy, Regressor):
            np.testing.assert_allclose(policy.utility(features[order]), policy.utility(features)[order], atol=1e-9)


def test_regressor_says_what_it_needs():
    with pytest.raises(ValueError, match="observation='embedding'"):
        play(Regressor(), gym.make(ID, **{**SMALL, "observation": "relational"}), 0)
    with pytest.raises(ValueError, match="use pool='eval'"):
        play(Regressor(), gym.make(ID, **{**SMALL, "pool": "train"}), 0)
