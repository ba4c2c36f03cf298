"""Training tasks: variants of a dataset, drawn by number, out of what agents may learn from."""

import gymnasium as gym
import numpy as np
import pytest

from agents import lookahead, tasks
from agents.lookahead import Args
from alenv import data as datasets
from alenv.data import IGNORE


@pytest.fixture(scope="module")
def scenes():
    return datasets.read("scenes", datasets.open_dataset("scenes"), None)


def test_only_what_may_be_learned_from_is_in_it(scenes):
    allowed = np.concatenate([scenes.splits[name] for name in ("state", "train", "reward")])
    for number in range(20):
        splits = tasks.draw(scenes, number).splits
        assert np.isin(np.concatenate(list(splits.values())), allowed).all()
        parts = [splits[name] for name in ("state", "train", "reward", "test")]
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        assert (splits["train"] == splits["eval"]).all()


def test_neighbours_stay_on_one_side(scenes):
    known = np.unique(np.concatenate([scenes.splits[name] for name in ("state", "train", "reward")]))
    blocks = np.array_split(known, len(known) // tasks.BLOCK)
    for number in range(20):
        splits = tasks.draw(scenes, number).splits
        sides = [np.concatenate([splits["state"], splits["test"]]), splits["train"], splits["reward"]]
        assert min(map(len, sides)) > 5
        for block in blocks:
            assert sum(np.isin(block, side).any() for side in sides) <= 1


def test_classes_are_merged_and_dropped(scenes):
    drawn = [tasks.draw(scenes, number) for number in range(40)]
    sizes = {len(variant.classes) for variant in drawn}
    assert sizes <= set(range(4, 13))
    assert len(sizes) > 5
    for variant in drawn:
        names = sorted("+".join(variant.classes).split("+"))
        assert names == sorted(scenes.classes)
        kept = np.unique(variant.groups[: len(scenes.classes)])
        assert len(kept[kept != IGNORE]) >= 2
        assert (variant.groups[len(scenes.classes) :] == IGNORE).all()
    assert any((variant.groups[: len(scenes.classes)] == IGNORE).any() for variant in drawn)


def test_a_number_is_a_variant():
    one, again, other = (tasks.make.__wrapped__("scenes", number).load("given") for number in (4, 4, 3))
    assert one.manifest == again.manifest != other.manifest


def test_a_variant_shows_its_images(scenes):
    variant = tasks.draw(scenes, 4)
    shown = tasks.vary(scenes, variant).load("given")
    image = variant.splits["train"][0]
    side = slice(None, None, -1 if variant.flipped else 1)
    found = shown.masks[shown.splits["train"][0]]
    np.testing.assert_array_equal(found, variant.groups[scenes.masks[image][:, side]])
    lit = np.minimum(scenes.images[image][:, side] * variant.light, 255)
    np.testing.assert_array_equal(shown.images[shown.splits["train"][0]], lit.astype(np.uint8))


def test_generated_images_are_new_in_every_variant(scenes):
    old, made = (
        tasks.vary(scenes, tasks.draw(scenes, 4)).load("given"),
        tasks.make.__wrapped__("scenes", 4).load("given"),
    )
    for split, images in made.splits.items():
        np.testing.assert_array_equal(images, old.splits[split])
    assert (old.masks != made.masks).any((1, 2)).all()


def test_a_variant_is_played_by_its_import_path():
    drawn = tasks.task("scenes", 3, 32, ("linear", "lda"))
    assert drawn["segmenter"] == "lda"
    env = gym.make("RegionSelect-v0", picks=1, **drawn)
    obs, info = env.reset(seed=0)
    assert obs["candidates"].shape[0] == drawn["candidates"]
    assert info["miou"] > 0


@pytest.mark.parametrize("name", ["scenes", "nothing_3", "scenes_x", "_3"])
def test_what_is_no_variant_is_refused(name):
    with pytest.raises(ValueError, match=r"agents\.tasks"):
        datasets.open_dataset(f"agents.tasks:{name}")


def test_a_learner_takes_variants_in_turn(tmp_path):
    drawn = {"envs": (), "tasks": ("scenes",), "variants": 2, "heads": ("lda", "linear"), "kwargs": {"picks": 2}}
    args = Args(**drawn, budget=4, updates=2, batch=4, out=tmp_path)
    envs = lookahead.make_envs(args)
    assert [env.unwrapped.fingerprint()["arguments"]["segmenter"] for env in envs] == ["lda", "linear"]
    run = lookahead.Run(args, envs)
    run.advance()
    run.advance()
    assert all(run.pools)
    with pytest.raises(ValueError, match="nothing to learn from"):
        Args(envs=(), tasks=())
