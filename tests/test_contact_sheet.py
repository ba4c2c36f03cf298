"""Pictures of mining episodes: what they show, and that they show no label that was not bought."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import alenv  # noqa: F401  registers the ids
from alenv.contact_sheet import MOST, WIDTH, ContactSheet, Page
from alenv.data import SegmentationData
from alenv.mining import generate
from alenv.tiles import SIDE, Drawn, Photos

PAGE = Page(
    "class_03", list(range(20)), [0, 1], [2, 3, 4], {0: 7, 1: 0, 2: 1234, 3: 0, 4: 0}, 1.5, (0.1, 0.2, 0.0, 0.0)
)


def make(**kwargs):
    return gym.make("SingleClassMine-v0", render_mode="rgb_array", dataset="mixture:1000", **{"budget": 12, **kwargs})


def sheet(candidates=20, budget=50, pool=None):
    return ContactSheet(Drawn(pool or generate(1000)), candidates, budget)


def test_pictures_have_one_size_and_are_the_same_for_the_same_episode():
    env, again = make(skip=True), make(skip=True)
    shapes, last = set(), None
    for one in (env, again):
        one.reset(seed=0)
    for action in [0, 1, 20, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]:
        picture = env.render()
        np.testing.assert_array_equal(picture, again.render())
        assert picture.dtype == np.uint8
        assert last is None or (picture != last).any()
        shapes.add(picture.shape)
        last = picture
        if env.step(action)[2] | again.step(action)[2]:
            break
    assert shapes == {(env.render().shape[0], WIDTH, 3)}


def test_labels_that_were_not_bought_are_not_shown():
    """The same page of a pool in which all other labels are different is the same picture."""
    pool = generate(1000)
    other = np.setdiff1d(np.arange(1000), [*PAGE.seeds, *PAGE.bought])
    modes, pixels = pool.modes.copy(), pool.pixels.copy()
    modes[other], pixels[other] = modes[other[::-1]], pixels[other[::-1]]
    picture = sheet().draw(PAGE)
    np.testing.assert_array_equal(picture, sheet(pool=replace(pool, modes=modes, pixels=pixels)).draw(PAGE))
    modes[2], pixels[2] = modes[5], pixels[5]
    assert (picture != sheet(pool=replace(pool, modes=modes, pixels=pixels)).draw(PAGE)).any()


def test_rendering_does_not_disturb_the_episode():
    env, plain = make(), gym.make("SingleClassMine-v0", dataset="mixture:1000", budget=12)
    env.reset(seed=1), plain.reset(seed=1)
    for action in range(8):
        env.render()
        ours, theirs = env.step(action), plain.step(action)
        np.testing.assert_array_equal(ours[0]["candidates"], theirs[0]["candidates"])
        assert ours[1:] == theirs[1:]


def test_long_episodes_and_names_keep_to_the_page():
    many = replace(PAGE, target="c" * 300, candidates=list(range(500)), bought=list(range(5, 505)))
    pool = replace(generate(1000), classes=("c" * 300, *generate(1000).classes[1:]))
    found = dict.fromkeys(range(505), 10**9)
    picture = sheet(500, 500, pool).draw(replace(many, found=found))
    assert picture.shape == sheet(MOST, MOST).draw(PAGE).shape
    assert (picture[:, -14:] == picture[0, 0]).all()  # nothing reaches into the margin


@pytest.fixture
def photos():
    """Two red photos of 20 x 40, the middle of the first of class 1."""
    images, masks = np.zeros((2, 20, 40, 3), np.uint8), np.zeros((2, 20, 40), np.uint8)
    images[..., 0], masks[0, :, 8:32] = 200, 1
    colours = np.array([[0, 0, 0], [250, 10, 10]], np.uint8)
    return Photos(SegmentationData("own", images, masks, ("nothing", "thing"), colours, ("a", "b"), {}, ""))


def test_photos_are_grey_where_they_are_not_of_the_class(photos):
    red, plain = np.array([200, 0, 0]), np.asarray(photos.unlabelled(0))
    assert (plain == red).all()
    np.testing.assert_array_equal(photos.labelled(0, "thing"), plain)
    faded = np.asarray(photos.labelled(1, "thing")).astype(int)
    assert np.ptp(faded, axis=2).max() < 10
    assert faded.min() > 150
    assert photos.colour("thing") == (250, 10, 10)
    assert photos.labelled(0, "nothing").size == (SIDE, SIDE)


def test_fields_have_the_shares_of_the_classes():
    """Pixels of a colour in the tile are in proportion to pixels of the class, up to the lines between."""
    pool = generate(1000)
    tile = Drawn(pool)
    for image in range(40):
        held = [(m, p) for m, p in zip(pool.modes[image], pool.pixels[image], strict=True) if m >= 0]
        if len(held) == 2:
            name = pool.classes[pool.mode_class[held[0][0]]]
            picture = np.asarray(tile.labelled(image, name)).reshape(-1, 3)
            colours, counts = np.unique(picture, axis=0, return_counts=True)
            top = sorted(counts)[-2:]
            expected = max(p for _, p in held) / sum(p for _, p in held)
            assert top[1] / sum(top) == pytest.approx(expected, abs=0.1)
            assert len(colours) <= 3
    assert isinstance(tile.unlabelled(0), Image.Image)


def test_rendering_needs_a_mode():
    env = gym.make("SingleClassMine-v0", dataset="mixture:1000", budget=12).unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode='rgb_array' or 'ansi'"):
        assert env.render() is None
