"""What a mining task knows of its pool, against a plain count over the images."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import alenv  # noqa: F401  registers the ids
from alenv import mining


@pytest.mark.parametrize("split", ["train", "eval"])
@pytest.mark.parametrize("merged", [False, True])
def test_members_are_all_images_that_hold_a_class(split, merged, monkeypatch):
    """Also those in which every place is taken, and, if most classes are merged, those that hold one several times."""
    pool = mining.load("mixture:1000")
    if merged:
        pool = replace(pool, mode_class=np.minimum(pool.mode_class, 3))
    monkeypatch.setattr(mining, "load", lambda *names: pool)
    env = gym.make("SingleClassMine-v0", dataset="mixture:1000", classes="all", pool=split).unwrapped
    env.reset(seed=0)
    task, images = env._task, pool.splits[split]
    holds = np.zeros((len(pool.modes), len(pool.classes)), bool)
    several = full = 0
    for image in images:
        classes = pool.mode_class[pool.modes[image][pool.modes[image] >= 0]]
        holds[image, classes] = True
        several += len(set(classes)) < len(classes)
        full += len(classes) == pool.modes.shape[1]
    assert (several > 0) == merged
    assert full > 0
    for target in range(len(pool.classes)):
        np.testing.assert_array_equal(task.members(target), images[holds[images, target]])
        assert [task.holds(image, target) for image in images[:40]] == holds[images[:40], target].tolist()
    np.testing.assert_array_equal(task.eligible, np.flatnonzero(holds.sum(0) > 1))
