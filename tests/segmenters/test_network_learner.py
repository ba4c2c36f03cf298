"""NetworkLearner: the contract of Learner, kept by a network."""

import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from alenv import data as datasets
from alenv.acquisition import SCORES, entropy
from alenv.arrays import BLOCK, to_numpy
from alenv.data import IGNORE
from alenv.metrics import Reward
from alenv.regions import make_grid
from alenv.segmenters.networks import training as network_training
from alenv.segmenters.networks.learner import NetworkLearner
from alenv.segmenters.networks.trainer import Trainer
from alenv.segmenters.probes.heads import DROPOUT

USUAL = dict(network_training.TRAININGS)
LARGER = ("squeezenet_fpn", "lite0_fpn", "deeplabv3_mobilenet_v3_large")
"""Networks of the tests that are about running statistics, too."""
PARTS = ("probs", "embedding", "nearest", "typical")


class Case:
    """Scenes with a network that trains in half a second; the reward split is cut short."""

    def __init__(self):
        opened = datasets.open_dataset("scenes")
        data = datasets.load("scenes")
        self.data = replace(data, splits={**data.splits, "reward": data.splits["reward"][:8]})
        self.grid = make_grid(data.images.shape[1:3], opened.region, opened.cell)
        self.reward = Reward("miou", data.classes)
        rng = np.random.default_rng(0)
        self.first = self.grid.of_images(data.splits["state"][:2])
        self.regions = rng.permutation(self.grid.of_images(data.splits["train"][:20]))

    def learner(self, *batches, data=None, name="tiny", **kwargs):
        learner = NetworkLearner(data or self.data, self.grid, 8, name, **kwargs)
        for regions in batches:
            learner.fit(regions)
        return learner


@pytest.fixture(scope="module")
def case(_places):
    short = replace(network_training.TRAININGS["tiny"], long_steps=12, crop=48)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network_training.TRAININGS, "tiny", short)
        for name in LARGER:
            patch.setitem(network_training.TRAININGS, name, replace(short, long_steps=2, rate=1e-3))
        yield Case()


@pytest.fixture(scope="module")
def fitted(case):
    """A learner after the first labels and a round; tests must not change it."""
    return case.learner(case.first, case.regions[:12])


def assert_same(first, second, parts=PARTS):
    for name in parts:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def test_confusion_equals_counting_pixels(case, fitted):
    confusion = np.zeros((len(case.data.classes),) * 2, np.int64)
    for image in case.data.splits["reward"]:
        mask, labels = case.data.masks[image], fitted.label_map(image)
        np.add.at(confusion, (labels[mask != IGNORE], mask[mask != IGNORE]), 1)
    np.testing.assert_array_equal(fitted.evaluate("reward"), confusion)
    assert fitted.evaluate("reward").dtype == np.int64


def test_strips_have_the_winners_of_the_whole_image(fitted, monkeypatch):
    logits = next(fitted._model.logits(np.zeros(1, np.int64)))
    monkeypatch.setitem(BLOCK, "cpu", 7 * logits.shape[1] * fitted._grid.size[1])  # 7 rows
    winners = fitted._model.winners(logits)
    assert winners.dtype == torch.uint8
    assert torch.equal(winners.long(), fitted._model.full(logits).argmax(1))


def test_training_helps(case, fitted):
    untrained = case.learner()
    assert case.reward(untrained.evaluate("reward")) + 2 < case.reward(fitted.evaluate("reward"))


def test_predictions_are_those_of_whole_images(case, fitted):
    ids = case.regions[30:60]
    prediction, backwards = fitted.predict(ids), fitted.predict(ids[::-1])
    assert prediction.probs.shape == (30, len(case.data.classes), *case.grid.region)
    np.testing.assert_allclose(prediction.probs.sum(1), 1, atol=1e-5)
    for name in PARTS:
        values = to_numpy(getattr(prediction, name))
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, to_numpy(getattr(backwards, name))[::-1], rtol=0, atol=1e-5, err_msg=name)
    images, within = case.grid.group(ids)
    maps = fitted.maps(images).numpy()
    assert maps.shape == (len(images), len(case.data.classes), *case.grid.size)
    whole = case.grid.cut(np.moveaxis(maps, 1, -1), within)
    np.testing.assert_allclose(np.moveaxis(prediction.probs.numpy(), 1, -1), whole, rtol=0, atol=1e-5)
    labels = np.stack([fitted.label_map(i) for i in images])
    np.testing.assert_array_equal(labels, maps.argmax(1))


def test_similarity_is_to_the_regions_as_they_were_when_labelled(case):
    learner = case.learner(case.first)
    met = learner.predict(case.regions[:3]).embedding
    learner.fit(case.regions[:3])
    np.testing.assert_array_equal(learner._embedding[-3:], met)
    prediction = learner.predict(case.regions[5:20])
    np.testing.assert_allclose(np.linalg.norm(prediction.embedding, axis=1), 1, rtol=1e-5)
    cosine = prediction.embedding @ learner._embedding.numpy().T
    np.testing.assert_allclose(prediction.nearest, cosine.max(1), atol=1e-5)
    np.testing.assert_allclose(prediction.typical, cosine.mean(1), atol=1e-5)
    fresh = case.learner().predict(case.regions[:4])
    assert (fresh.nearest == -1).all()
    assert (fresh.typical == -1).all()


def test_no_regions_change_nothing(case):
    none = np.empty(0, np.int64)
    learner = case.learner(none)
    assert learner.predict(none).probs.shape[0] == 0
    np.testing.assert_array_equal(learner.get_state()["weights"], case.learner().get_state()["weights"])
    assert not len(learner.labelled)


def test_first_training_is_looked_up_the_second_time(case, monkeypatch):
    learner = case.learner(case.first)
    monkeypatch.setattr(Trainer, "train_long", lambda *_: pytest.fail("trained again"))
    again = case.learner(case.first)
    np.testing.assert_array_equal(again.get_state()["weights"], learner.get_state()["weights"])
    assert_same(again.predict(case.regions[:9]), learner.predict(case.regions[:9]))


def test_first_training_depends_on_pixels_and_labels(case):
    """A pool made anew has the same ids."""
    image = case.data.splits["state"][0]
    masks = np.array(case.data.masks)
    masks[image] = np.roll(masks[image], 7)
    learner = case.learner(case.first)
    other = case.learner(case.first, data=replace(case.data, masks=masks))
    assert (other.get_state()["weights"] != learner.get_state()["weights"]).any()


def test_first_training_depends_on_the_shape_of_regions(case):
    """Regions of other shapes can have the same ids, images and labels, but other crops and embeddings."""
    other = make_grid(case.grid.size, (48, 16), 8)
    learners = [NetworkLearner(case.data, grid, 8, "tiny") for grid in (case.grid, other)]
    for learner in learners:
        learner.fit(case.first)
    one, two = (learner.get_state() for learner in learners)
    np.testing.assert_array_equal(one["labelled"], two["labelled"])
    assert (one["weights"] != two["weights"]).any()


def test_reset_forgets_all(case, fitted):
    learner = case.learner(case.first, case.regions[40:60])
    learner.reset()
    assert len(learner.labelled) == 0
    for regions in (case.first, case.regions[:12]):
        learner.fit(regions)
    assert_same(learner.predict(case.regions[:9]), fitted.predict(case.regions[:9]))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"recipe": "incremental"},
        {"recipe": "retrain"},
        {"name": "lite0_fpn", "weights": "random"},
        pytest.param({"name": "squeezenet_fpn", "weights": "random"}, marks=pytest.mark.slow),
        pytest.param({"name": "deeplabv3_mobilenet_v3_large", "weights": "random"}, marks=pytest.mark.slow),
    ],
)
def test_a_snapshot_goes_on_bit_for_bit(case, kwargs):
    """In another learner and through bytes; one of them has predicted what it labels next, the other has not."""
    learner = case.learner(case.first, case.regions[:12], **kwargs)
    state = pickle.loads(pickle.dumps(learner.get_state()))
    other = case.learner(**kwargs)
    other.set_state(state)
    learner.predict(case.regions[10:40])
    for x in (other, learner):
        x.fit(case.regions[12:24])
    np.testing.assert_array_equal(other.labelled, learner.labelled)
    for name, value in learner.get_state().items():
        np.testing.assert_array_equal(other.get_state()[name], value, err_msg=name)
    np.testing.assert_array_equal(other.evaluate("reward"), learner.evaluate("reward"))
    assert_same(other.predict(case.regions[60:90]), learner.predict(case.regions[60:90]))
    np.testing.assert_array_equal(other.difficulty(np.arange(3)), learner.difficulty(np.arange(3)))


def test_retraining_starts_from_the_initial_weights(case):
    """So the result depends on what is labelled, and on when, but not on earlier weights."""
    learner = case.learner(case.first, case.regions[:12], recipe="retrain")
    other = case.learner(case.first, recipe="retrain")
    other._model.set_weights(other._model.get_weights() + 1)
    other.fit(case.regions[:12])
    np.testing.assert_array_equal(other.get_state()["weights"], learner.get_state()["weights"])
    with pytest.raises(ValueError, match="unknown recipe 'retrian'; did you mean 'retrain'"):
        case.learner(recipe="retrian")


def test_labels_that_were_not_bought_are_not_read(case, fitted):
    """All others are scrambled, within the same images too."""
    bought = np.zeros(case.data.masks.shape, bool)
    for region in np.concatenate([case.first, case.regions[:12]]):
        image, y, x = case.grid.corner(int(region))
        bought[image, y : y + case.grid.region[0], x : x + case.grid.region[1]] = True
    noise = np.random.default_rng(0).integers(len(case.data.classes), size=bought.shape, dtype=np.uint8)
    blind = case.learner(
        case.first, case.regions[:12], data=replace(case.data, masks=np.where(bought, case.data.masks, noise))
    )
    assert_same(blind.predict(case.regions[:30]), fitted.predict(case.regions[:30]))
    np.testing.assert_array_equal(blind.difficulty(np.arange(2)), fitted.difficulty(np.arange(2)))


def test_a_region_without_labels_teaches_nothing(case):
    """Weight decay alone moves the weights."""
    masks = np.array(case.data.masks)
    masks[case.data.splits["train"]] = IGNORE
    learner = case.learner(case.first, data=replace(case.data, masks=masks))
    before = learner.get_state()["weights"]
    learner.fit(case.regions[:4])
    np.testing.assert_allclose(learner.get_state()["weights"], before, rtol=1e-4, atol=1e-7)


def test_replaced_images_are_predicted_as_what_they_are(case):
    target, source = case.data.splits["train"][:2], case.data.splits["eval"][[5, 8]]
    images = np.array(case.data.images)
    images[target] = images[source]
    learner = case.learner(case.first)
    learner.label_map(target[0])  # its logits are remembered
    learner.replace(replace(case.data, images=images), target)
    np.testing.assert_array_equal(learner.maps(target), case.learner(case.first).maps(source))


def test_globals_are_left_alone(case):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before, seen, cuda = torch.get_num_threads(), [], torch.cuda.is_initialized()
    torch.set_num_threads(2)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    learner = case.learner(case.first[:3], case.regions[:4], recipe="retrain")
    learner.evaluate("reward")
    learner.maps(np.arange(2))
    learner.difficulty(np.arange(2))
    for _ in learner.passes(case.regions[:2], np.random.default_rng(0), 2):
        seen.append((torch.get_num_threads(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
    learner.set_state(learner.get_state())
    thread = threading.Thread(target=lambda: seen.append((torch.get_num_threads(), True, False)))
    thread.start()
    thread.join()
    torch.set_num_threads(before)
    assert seen == [(2, True, False)] * 3
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.cuda.is_initialized() == cuda


def test_threads_and_random_numbers_of_the_caller_do_not_matter(case, fitted):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(77)
    learner = case.learner(recipe="incremental")
    learner.fit(case.first)
    torch.rand(3)
    learner.fit(case.regions[:12])
    torch.set_num_threads(before)
    assert_same(learner.predict(case.regions[:9]), fitted.predict(case.regions[:9]))


def test_passes_scatter_about_the_prediction_and_repeat_by_seed(case, fitted):
    some = case.regions[60:80]
    probs = fitted.predict(some).probs.numpy()
    passes = np.array(list(fitted.passes(some, np.random.default_rng(1), 40)))
    fitted.predict(case.regions[:3])  # so the features have to be computed again
    again = np.array(list(fitted.passes(some, np.random.default_rng(1), 40)))
    np.testing.assert_array_equal(passes, again)
    assert passes.shape == (40, *probs.shape)
    np.testing.assert_allclose(passes.sum(2), 1, rtol=0, atol=1e-5)
    assert (passes[0] != passes[1]).any()
    assert abs(passes.mean(0) - probs).mean() < 0.5 * passes.std(0).mean() + 0.01


def test_masks_drop_the_same_channels_everywhere(fitted):
    masks = fitted._model.mask(np.random.default_rng(0), 4000)
    assert set(masks.unique().tolist()) == {0.0, 1.25}
    assert (masks == 0).float().mean().item() == pytest.approx(DROPOUT, abs=0.01)


@pytest.mark.parametrize("name", ["tiny", *LARGER])
def test_without_dropout_passes_are_the_prediction(case, name, monkeypatch):
    """Up to the rounding of features that are kept in half precision."""
    learner = case.learner(case.first, name=name, weights=None if name == "tiny" else "random")
    monkeypatch.setattr(type(learner._model), "mask", lambda self, rng, count: torch.ones(count, 1))
    some = case.regions[60:70]
    for probs in learner.passes(some, np.random.default_rng(0), 1):
        np.testing.assert_allclose(probs, learner.predict(some).probs, rtol=0, atol=2e-3)


def test_difficulty_tells_wrong_from_right(case, fitted):
    images = case.data.splits["reward"]
    difficulty = fitted.difficulty(images)
    assert difficulty.shape == (len(images), *case.grid.size)
    assert difficulty.dtype == np.float32
    assert difficulty.min() >= 0
    assert difficulty.max() <= 1
    wrong = np.stack([fitted.label_map(i) for i in images]) != case.data.masks[images]
    assert difficulty[wrong].mean() > difficulty[~wrong].mean()
    assert case.learner().difficulty(images[:1]).shape == (1, *case.grid.size)


def test_bfloat16_is_close(case, fitted):
    learner = case.learner(case.first, case.regions[:12], precision="bfloat16")
    assert learner.facts["precision"] == "bfloat16"
    np.testing.assert_allclose(
        learner.predict(case.regions[:9]).probs, fitted.predict(case.regions[:9]).probs, rtol=0, atol=0.1
    )


def test_errors_that_help(case, fitted):
    with pytest.raises(ValueError, match="'tiny'; use 'linear' or 'lda'"):
        fitted.gains(case.regions[:2], case.reward)
    with pytest.raises(ValueError, match="unknown split 'rewards'; did you mean 'reward'"):
        fitted.evaluate("rewards")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="use device='cpu'"):
            case.learner(device="cuda")


def test_out_of_memory_says_what_to_lower(fitted):
    with pytest.raises(RuntimeError, match="lower picks, candidates or region"), fitted._model.settings():
        raise torch.OutOfMemoryError


# --- In the environment -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"segmenter": "tiny", "features": "squeezenet1_0"}, "features='squeezenet1_0' has no effect"),
        ({"segmenter": "tiny", "pick_gains": True}, "for 'tiny' single gains are not known"),
        ({"segmenter": "tiny", "device": "gpu"}, "expected 'cpu', 'cuda' or 'cuda:<number>'"),
        ({"device": "cuda"}, "computes on the CPU"),
        ({"precision": "bfloat16"}, "computes on the CPU"),
        ({"compile": True}, "compile=True; those are for networks"),
        ({"segmenter": "tiny", "compile": "yes"}, "compile='yes': expected True or False"),
        ({"recipe": "retrain"}, "recipe='retrain' has no effect with segmenter='linear', which is always fitted"),
        ({"segmenter": "tiny", "recipe": "retrian"}, "unknown recipe 'retrian'; did you mean 'retrain'"),
        ({"segmenter": "fpn_resnet"}, "did you mean 'fpn_resnet50'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        gym.make("RegionSelect-v0", **kwargs)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_episode_with_every_kind_of_evidence(case, precision):
    """And a snapshot in the middle of a round."""
    scores = ["entropy", "bald", "ripu", "difficulty_entropy", "distance"]
    kwargs = {"segmenter": "tiny", "picks": 3, "candidates": 4, "budget": 6, "scores": scores, "passes": 4}
    kwargs["precision"] = precision
    env, other = (gym.make("RegionSelect-v0", **kwargs).unwrapped for _ in range(2))
    env.reset(seed=1)
    for _ in range(4):
        obs, *_ = env.step(0)
    assert env.observation_space.contains(obs)
    other.set_state(pickle.loads(pickle.dumps(env.get_state())))
    for _ in range(2):
        results = [x.step(1) for x in (env, other)]
        for name, value in results[0][0].items():
            np.testing.assert_array_equal(value, results[1][0][name], err_msg=name)
        assert results[0][1] == results[1][1]
    assert results[0][2]


@pytest.mark.parametrize("observation", ["compact", "ralis"])
def test_every_image_is_seen_once_a_round(case, observation):
    """For features, entropy and Monte-Carlo passes together."""
    kwargs = {"segmenter": "tiny", "observation": observation, "scores": ["entropy", "bald"], "passes": 2}
    env = gym.make("RegionSelect-v0", picks=2, candidates=3, budget=6, **kwargs).unwrapped
    env.reset(seed=1)
    seen, model = [], env._campaign.learner._model
    whole = model.frames.whole
    model.frames.whole = lambda images: seen.extend(images.tolist()) or whole(images)
    env.step(0)
    env.step(0)
    assert len(seen) == len(set(seen))
    assert set(env._current.candidates // env._campaign.grid.per_image) <= set(seen)


@pytest.mark.parametrize("recipe", ["incremental", "retrain"])
def test_a_recipe_trains_on_what_it_says(case, recipe, monkeypatch):
    env = gym.make("RegionSelect-v0", segmenter="tiny", recipe=recipe, picks=2, candidates=3, budget=4).unwrapped
    env.reset(seed=1)
    assert env.fingerprint()["learner"]["recipe"] == recipe
    lengths = []
    monkeypatch.setattr(Trainer, "train_round", lambda self, regions, *_: lengths.append(len(regions)))
    monkeypatch.setattr(Trainer, "train_long", lambda self, labelled, *_: lengths.append(len(labelled)))
    for _ in range(2):
        env.step(0)
    first = len(env._campaign.learner.labelled) - 2
    assert lengths == [2 if recipe == "incremental" else first + 2]


@pytest.mark.usefixtures("_places")
def test_a_spawned_worker_steps_like_a_single_environment(monkeypatch):
    monkeypatch.setitem(network_training.TRAININGS, "tiny", USUAL["tiny"])  # workers know nothing of the shorter one
    kwargs = {"segmenter": "tiny", "initial": "state:1", "picks": 2, "candidates": 3, "budget": 4}
    vector = gym.make_vec("RegionSelect-v0", 1, "async", {"context": "spawn"}, **kwargs)
    single = gym.make("RegionSelect-v0", **kwargs)
    try:
        many, _ = vector.reset(seed=[5])
        one, _ = single.reset(seed=5)
        np.testing.assert_array_equal(many["candidates"][0], one["candidates"])
        for _ in range(2):
            many, rewards, *_ = vector.step(np.array([1]))
            one, reward, *_ = single.step(1)
        np.testing.assert_array_equal(many["state"][0], one["state"])
        assert rewards[0] == reward
    finally:
        vector.close()


@pytest.mark.usefixtures("_places")
@pytest.mark.parametrize("observation", ["compact", "ralis"])
def test_features_and_scores_have_the_threads_of_the_model(observation, monkeypatch):
    """Their sums too are split by thread."""
    seen, before = [], torch.get_num_threads()

    def spied(probs):
        seen.append((type(probs), torch.get_num_threads()))
        return entropy(probs)

    for place in ("observation", "ralis_features"):
        monkeypatch.setattr(f"alenv.{place}.entropy", spied)
    monkeypatch.setitem(SCORES, "entropy", replace(SCORES["entropy"], function=spied))
    few = {"picks": 2, "candidates": 3, "budget": 4, "initial": "state:1", "scores": ["entropy"]}
    env = gym.make("RegionSelect-v0", segmenter="tiny", observation=observation, **few)
    torch.set_num_threads(2)
    try:
        env.reset(seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(seen) >= 2
    assert set(seen) == {(torch.Tensor, 1)}


@pytest.mark.usefixtures("_places")
def test_nothing_of_torch_is_touched_before_the_first_reset():
    """So a process that is forked after construction can still use CUDA."""
    code = (
        "import sys, gymnasium as gym, alenv\n"
        "for kind in ('compact', 'ralis'):\n"
        "    gym.make('RegionSelect-v0', segmenter='tiny', device='cuda', observation=kind)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_compiled_networks_do_the_same(case, fitted, tmp_path, monkeypatch):
    """Up to rounding: probabilities and a round of training; and bit for bit from the same snapshot."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiled, eager = (case.learner(compile=how, precision="float32") for how in (True, False))
    assert compiled.facts != eager.facts
    images = np.arange(3)
    np.testing.assert_allclose(compiled.maps(images), eager.maps(images), rtol=0, atol=1e-5)
    ends = []
    for learner in (compiled, eager, compiled):
        learner.set_state(fitted.get_state())
        learner.fit(case.regions[12:24])
        ends.append(learner.maps(images))
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-3)
    assert not torch.equal(ends[0], ends[1]), "it was not compiled"
    assert torch.equal(ends[0], ends[2])


@pytest.mark.slow
def test_a_missing_compiler_is_named():
    """In a process of its own: torch looks for the compiler once."""
    code = "import gymnasium as gym, alenv; gym.make('RegionSelect-v0', segmenter='tiny', compile=True).reset()"
    missing = {**os.environ, "CXX": "no-such-compiler", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=missing, capture_output=True, text=True, check=False)
    assert "RuntimeError: compile=True: segmenter='tiny' could not be compiled for device='cpu'" in done.stderr
    assert "no-such-compiler" in done.stderr


@pytest.mark.slow
def test_camvid_episode_with_a_pretrained_network(camvid_root, squeezenet_weights, monkeypatch):
    """Minutes on a CPU; later episodes find the first training on disk."""
    monkeypatch.setitem(network_training.TRAININGS, "squeezenet_fpn", USUAL["squeezenet_fpn"])
    kwargs = {"segmenter": "squeezenet_fpn", "features": "filterbank", "budget": 48, "initial": "state:10"}
    env = gym.make("RegionSelect-CamVid-v0", **kwargs, weights=str(squeezenet_weights))
    _, info = env.reset(seed=0)
    first, total, terminated = info["miou"], 0.0, False
    assert first > 15
    while not terminated:
        _, reward, terminated, _, info = env.step(0)
        total += reward
    assert info["labelled_regions"] == 48
    assert info["miou"] - first == pytest.approx(total)
    assert info["miou"] > first - 3
