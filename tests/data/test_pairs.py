"""Image and mask files: decoded exactly, or refused with the file, the cause and the remedy."""

import io
import os

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alenv.data import files
from alenv.data.files import FORBIDDEN
from alenv.data.pairs import Pair, find_pairs, open_pairs
from alenv.data.store import StoreWarning

pytestmark = pytest.mark.usefixtures("cache")

LABELS = np.full(256, FORBIDDEN, np.uint8)
LABELS[:4] = (2, 0, 1, 255)
SIZE = (12, 16)


@pytest.fixture
def root(tmp_path):
    """Three pairs in the folders ``x`` and ``y``."""
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.png", "C.PNG"):
        save(rng.integers(256, size=(*SIZE, 3), dtype=np.uint8), tmp_path / "x" / name)
        save(rng.integers(4, size=SIZE, dtype=np.uint8), tmp_path / "y" / name)
    return tmp_path


def save(array, path):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)


def read(path):
    return np.asarray(Image.open(path))


def load(root):
    return open_pairs("set", find_pairs({root / "x": root / "y"}), LABELS)


def test_pairs_by_name_and_decoded_exactly(root):
    (root / "x" / "notes.txt").write_text("not an image")
    store = load(root)
    assert store.meta["names"] == ["C.png", "a.png", "b.png"]
    for name, image, mask in zip(store.meta["names"], store.arrays["images"], store.arrays["masks"], strict=True):
        file = name.replace("C.png", "C.PNG")
        np.testing.assert_array_equal(image, read(root / "x" / file))
        np.testing.assert_array_equal(mask, LABELS[read(root / "y" / file)])
    assert store.arrays["images"].dtype == store.arrays["masks"].dtype == np.uint8


def test_a_jpeg_has_the_name_of_its_mask(root):
    (root / "x" / "a.png").unlink()
    Image.new("RGB", SIZE[::-1], (10, 20, 30)).save(root / "x" / "a.jpg", quality=95)
    store = load(root)
    assert store.meta["names"] == ["C.png", "a.png", "b.png"]
    assert abs(store.arrays["images"][1].astype(int) - (10, 20, 30)).max() <= 3
    np.testing.assert_array_equal(store.arrays["masks"][1], LABELS[read(root / "y" / "a.png")])


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_masks_of_one_label_per_pixel_in_any_mode(root, mode):
    labels = np.random.default_rng(1).integers(2, size=SIZE, dtype=np.uint8)
    image = Image.fromarray(labels.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        image.putpalette([200, 0, 0, 0, 200, 0])
    if mode == "1":
        image = Image.fromarray(labels.astype(bool))
    assert image.mode == mode
    image.save(root / "y" / "a.png")
    np.testing.assert_array_equal(load(root).arrays["masks"][1], LABELS[labels])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_images_of_other_modes_become_rgb(root, mode):
    grey = Image.fromarray(np.random.default_rng(1).integers(256, size=SIZE, dtype=np.uint8))
    grey.convert(mode).save(root / "x" / "a.png")
    np.testing.assert_array_equal(load(root).arrays["images"][1], np.stack(3 * [np.asarray(grey)], -1))


@given(
    hnp.arrays(np.int32, (3, 4), elements=st.one_of(st.integers(0, 3), st.integers(-1, 70000)), fill=st.just(0)),
    st.sampled_from([np.uint8, np.uint16, np.int32, np.bool_]),
    st.dictionaries(st.integers(0, 4) | st.just(255), st.integers(0, 19) | st.just(255), min_size=1),
)
def test_relabelling_looks_every_label_up(mask, dtype, known):
    """Labels that are in the table are replaced; one that is not is named."""
    mask = mask.astype(dtype)
    labels = np.full(256, FORBIDDEN, np.uint8)
    labels[list(known)] = list(known.values())
    strange = sorted({int(label) for label in mask.flat} - set(known))
    if strange:
        with pytest.raises(ValueError, match=rf"mask m\.png holds label {strange[0]};"):
            files.relabel(mask, labels, "m.png")
    else:
        relabelled = files.relabel(mask, labels, "m.png")
        assert relabelled.dtype == np.uint8
        assert [known[int(label)] for label in mask.flat] == relabelled.reshape(-1).tolist()


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FAULTS = {
    "mask missing": ("y", lambda p: p.unlink(), FileNotFoundError, "mask .* is missing; copy it there, or remove"),
    "mask too small": (
        "y",
        lambda p: save(np.zeros((12, 15), np.uint8), p),
        ValueError,
        r"is 15x12 .*, but the set is 16x12; take",
    ),
    "image too large": (
        "x",
        lambda p: save(np.zeros((13, 16), np.uint8), p),
        ValueError,
        r"is 16x13 .*, but the set is 16x12; take",
    ),
    "label out of range": (
        "y",
        lambda p: save(np.full(SIZE, 4, np.uint8), p),
        ValueError,
        r"label 4; .* 0\.\.3: is it",
    ),
    "label over 255": ("y", lambda p: save(np.full(SIZE, 300, np.uint16), p), ValueError, r"label 300; .* 0\.\.3"),
    "RGB mask": (
        "y",
        lambda p: save(np.arange(36, dtype=np.uint8).repeat(16).reshape(*SIZE, 3), p),
        ValueError,
        "mode RGB, .*; save it as .* 8-bit",
    ),
    "truncated mask": ("y", truncate, ValueError, "cannot read .*truncated.*; copy the file again"),
    "truncated image": ("x", truncate, ValueError, "cannot read .*truncated.*; copy the file again"),
    "text as a mask": ("y", lambda p: p.write_text("hello"), ValueError, "cannot read .*; copy the file again"),
    "text as an image": ("x", lambda p: p.write_text("hello"), ValueError, "cannot read .*; copy the file again"),
    "empty image": ("x", lambda p: p.write_bytes(b""), ValueError, "cannot read .*; copy the file again"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_errors_name_the_file_the_cause_and_the_remedy(root, fault):
    folder, harm, error, message = FAULTS[fault]
    path = root / folder / "b.png"
    good = path.read_bytes()
    harm(path)
    with pytest.raises(error, match=message) as caught:
        load(root)
    assert str(path) in str(caught.value)
    path.write_bytes(good)
    assert len(load(root).arrays["images"]) == 3


@pytest.mark.parametrize("folder", ["x", "y"])
def test_missing_folder(root, folder):
    (root / folder).rename(root / "z")
    with pytest.raises(FileNotFoundError, match=f"no folder {root / folder}; is root='{root}' the folder"):
        load(root)


@given(st.data())
def test_whatever_a_broken_file_makes_pillow_say_the_error_names_it(tmp_path_factory, data):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(SIZE)).save(buffer, "PNG")
    png = bytearray(buffer.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(png) - 1), max_size=3)):
        png[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "broken.png"
    path.write_bytes(png[: data.draw(st.integers(0, len(png)))])
    message = str(path)
    try:
        files.read_mask(path)
    except ValueError as error:
        message = str(error)
    assert str(path) in message


def test_every_error_of_pillow_names_the_file(root, monkeypatch):
    def bomb(path):
        raise Image.DecompressionBombError("too many pixels")

    monkeypatch.setattr(Image, "open", bomb)
    with pytest.raises(ValueError, match=r"C\.PNG: too many pixels; copy"):
        load(root)


def test_changed_file_or_table_of_labels_is_decoded_again(root):
    before = load(root)
    save(np.zeros(SIZE, np.uint8), root / "y" / "a.png")
    os.utime(root / "y" / "a.png", ns=(0, 0))
    with pytest.warns(StoreWarning, match="other files or settings"):
        after = load(root)
    assert (after.arrays["masks"][1] == LABELS[0]).all()
    assert before.digest != after.digest
    with pytest.warns(StoreWarning, match="other files or settings"):
        same = open_pairs("set", find_pairs({root / "x": root / "y"}), np.arange(256, dtype=np.uint8))
    assert not same.arrays["masks"][1].any()


def test_digest_does_not_depend_on_place_or_time(root):
    pair = find_pairs({root / "x": root / "y"})[0]
    moved = Pair(pair.name, pair.image.rename(root / "i.png"), pair.mask.rename(root / "m.png"))
    first = open_pairs("one", [moved], LABELS)
    os.utime(moved.image, ns=(0, 0))
    moved = Pair(pair.name, moved.image.rename(root / "j.png"), moved.mask)
    assert open_pairs("two", [moved], LABELS).digest == first.digest
