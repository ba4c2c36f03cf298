"""The commands of ``python -m alenv.data``, on made-up copies with every fault, and on real frames."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import test_folder
from PIL import Image
from test_layouts import Maker, make_ade20k

from alenv import data
from alenv.data import ade20k
from alenv.data.__main__ import main
from alenv.data.duplicates import BITS, NEAR, difference_hash, nearest
from alenv.data.store import StoreWarning


@pytest.fixture(autouse=True)
def _small(cache, monkeypatch):
    monkeypatch.setattr(ade20k, "SIZE", (32, 48))
    monkeypatch.setattr(ade20k, "REWARD", 4)


@pytest.fixture
def root(tmp_path):
    make_ade20k(tmp_path / "ade20k")
    return tmp_path / "ade20k"


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def files(root, number, part="training"):
    word = {"training": "train", "validation": "val"}[part]
    name = f"ADE_{word}_{number:08d}"
    return root / "images" / part / f"{name}.jpg", root / "annotations" / part / f"{name}.png"


def test_check_counts_and_names_everything(root, capsys):
    maker = Maker(root)
    for number in (2, 5):
        files(root, number)[0].write_bytes(b"no image")
    maker.mask(files(root, 7)[1], np.full((16, 16), 151))
    maker.mask(files(root, 9)[1], np.zeros(np.asarray(Image.open(files(root, 9)[1])).shape))
    Image.new("RGB", Image.open(files(root, 11)[0]).size, (9, 9, 9)).save(files(root, 11)[0])
    status, out, _ = run(capsys, "check", "ade20k", root)
    assert status == 1
    assert "29 images of 48x32: state 1, train 6, reward 1, holdout 1, eval 15, test 5\n" in out
    faults = [line for line in out.splitlines() if line.startswith("unreadable: ")]
    named = [files(root, 2)[0], files(root, 5)[0], files(root, 7)[1]]
    assert all(str(path) in fault for path, fault in zip(named, faults, strict=True))
    assert "odd: ADE_train_00000009: no pixel has a label\n" in out
    assert "odd: ADE_train_00000011: all pixels have one colour\n" in out
    assert "the store takes 0.00 GiB" in out
    assert not (root.parent / "cache").exists()


def test_check_measures_class_shares(root, capsys):
    status, out, _ = run(capsys, "check", "ade20k", root, "--split", "official")
    loaded = data.load("ade20k", root, "official")
    assert status == 0
    table = {line[:21].strip(): line[21:].split() for line in out.splitlines() if len(line) > 60}
    parts = [*loaded.splits]
    for label, name in enumerate(loaded.classes):
        *shares, images = map(float, table[name])
        assert images == (loaded.masks == label).any((1, 2)).sum()
        for part, share in zip(parts, shares, strict=True):
            masks = loaded.masks[loaded.splits[part]]
            assert share == pytest.approx(100 * (masks == label).sum() / (masks != 255).sum(), abs=6e-5)
    assert "warning: 20 images are both in 'train' and in 'eval'\n" in out


def test_check_finds_images_that_repeat_across_splits(root, capsys):
    for number in (1, 2):
        shutil.copy(files(root, number, "validation")[0], files(root, number)[0])
        shutil.copy(files(root, number, "validation")[1], files(root, number)[1])
    brighter = Image.open(files(root, 3, "validation")[0]).point(lambda value: value * 0.9)
    brighter.save(files(root, 3)[0], quality=80)
    shutil.copy(files(root, 3, "validation")[1], files(root, 3)[1])
    _, out, _ = run(capsys, "check", "ade20k", root, "--split", "official")
    assert "odd: ADE_val_00000001 looks just like ADE_train_00000001\n" in out
    assert "3 of 5 images of 'test' (60.0 %) nearly repeat one of 'eval'" in out
    assert "ADE_val_00000001 and ADE_train_00000001 (0 of 256 bits differ)" in out


def test_nearest_is_the_smallest_number_of_bits_that_differ(monkeypatch):
    rng = np.random.default_rng(0)
    left, right = (rng.integers(256, size=(n, BITS // 8), dtype=np.uint8) for n in (50, 33))
    left[7] = right[20] ^ np.eye(1, BITS // 8, dtype=np.uint8)[0]
    differ = np.unpackbits(left[:, None] ^ right[None], axis=2).sum(2)
    monkeypatch.setattr("alenv.data.duplicates.BLOCK", 16)
    found = nearest(left, right)
    np.testing.assert_array_equal(found.bits, differ.min(1))
    np.testing.assert_array_equal(differ[np.arange(50), found.which], differ.min(1))
    assert (found.which[7], found.bits[7]) == (20, 1)


def test_real_frames_of_the_interleaved_split_repeat_each_other(camvid_root):
    """Frames 30 apart, of a car that hardly moves: a sixth of the pool."""
    _, files = data.open_dataset("camvid", camvid_root).find("interleaved")
    hashes = [
        np.stack([difference_hash(np.asarray(Image.open(files.items[i].files[0]))) for i in files.splits[part]])
        for part in ("eval", "train")
    ]
    assert (nearest(*hashes).bits <= NEAR).sum() == 41


def test_a_users_folder_is_checked_without_decoding_it_and_other_data_as_they_are_loaded(tmp_path, capsys):
    test_folder.write(tmp_path / "mine")
    wrong = [tmp_path / "mine" / "masks" / f"img_{i:03d}.png" for i in (3, 17)]
    for path in wrong:
        path.write_bytes(b"")
    status, out, _ = run(capsys, "check", "folder", tmp_path / "mine")
    assert status == 1
    assert all(f"unreadable: cannot read {path}" in out for path in wrong)
    assert not (tmp_path / "cache").exists()
    status, out, _ = run(capsys, "check", "test_check:ARRAYS")
    assert status == 0
    assert "30 images of 32x16: state 5, train 5, reward 5, eval 5, holdout 5, test 5\n" in out
    assert "odd: " not in out
    assert re.search(r"^b +100\.0000 ", out, re.MULTILINE)


PARTS = ("state", "train", "reward", "eval", "holdout", "test")
ARRAYS = data.from_arrays(
    np.random.default_rng(0).integers(256, size=(30, 16, 32, 3), dtype=np.uint8),
    np.ones((30, 16, 32), np.uint8),
    ["a", "b"],
    {part: range(5 * i, 5 * i + 5) for i, part in enumerate(PARTS)},
)


def test_check_names_missing_and_unreadable_files_at_once_however_many_there_are(tmp_path, capsys):
    test_folder.write(tmp_path / "own", number=60)
    masks, images = sorted((tmp_path / "own" / "masks").iterdir()), sorted((tmp_path / "own" / "images").iterdir())
    for path in masks[:25]:
        path.unlink()
    masks[27].write_bytes(b"no image")
    images[28].write_bytes(b"no image")
    status, out, _ = run(capsys, "check", "folder", tmp_path / "own")
    assert status == 1
    wrong = [line for line in out.splitlines() if line.startswith("unreadable: ")]
    named = [*masks[:25], masks[27], images[28]]
    assert all(str(path) in line for path, line in zip(named, wrong, strict=True))
    _, _, said = run(capsys, "build", "folder", tmp_path / "own")
    assert said.endswith("and 5 more\n")


def test_check_names_all_faults_where_nothing_is_left_to_read(tmp_path, capsys):
    test_folder.write(tmp_path / "own")
    masks = sorted((tmp_path / "own" / "masks").iterdir())
    for path in masks:
        path.unlink()
    status, _, said = run(capsys, "check", "folder", tmp_path / "own")
    assert status == 2
    assert all(str(path) in said for path in masks)


def test_build_fills_the_cache_that_environments_read(root, capsys):
    status, out, _ = run(capsys, "build", "ade20k", root)
    assert status == 0
    assert "29 images of 48x32 are in" in out
    assert data.load("ade20k", root).manifest in out
    files(root, 1)[1].write_bytes(b"")
    with pytest.warns(StoreWarning, match="made from other files"):
        status, _, err = run(capsys, "build", "ade20k", root)
    assert status == 2
    assert f"error: cannot read {files(root, 1)[1]}" in err


def test_show_draws_images_beside_their_labels(root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files(root, 1)[0].write_bytes(b"")
    status, out, _ = run(capsys, "show", "ade20k", root)
    assert (status, out) == (0, "ade20k.png\n")
    picture = np.asarray(Image.open("ade20k.png"))
    item = data.open_dataset("ade20k", root).find("hash")[1].items[1]
    image, mask = item.read()
    panels = picture[36 : 36 + 133, 420:820].astype(int)  # the second picture of the first row
    coloured = np.full((*mask.shape, 3), 255, np.uint8)
    coloured[mask != 255] = ade20k.Ade20k.colours[mask[mask != 255]]
    for panel, array, method in (
        (panels[:, :200], image, Image.Resampling.BILINEAR),
        (panels[:, 200:], coloured, Image.Resampling.NEAREST),
    ):
        np.testing.assert_array_equal(panel, Image.fromarray(array).resize((200, 133), method))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "ade20"], "unknown dataset 'ade20'; did you mean 'ade20k'?"),
        (["show", "ade20k", "{root}", "--split", "official2"], "unknown split of ade20k 'official2'; did you mean"),
        (["build", "ade20k", "{root}/x"], "there is no folder {root}/x"),
        (["show", "ade20k", "{root}", "--out", "{root}/x/y.png"], "No such file or directory"),
        (["show", "ade20k", "{root}", "--out", "{root}/y.abc"], "unknown file extension: .abc"),
    ],
)
def test_what_cannot_be_done_is_status_2_and_one_sentence(root, capsys, arguments, message):
    status, out, err = run(capsys, *(argument.format(root=root) for argument in arguments))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message.format(root=root) in err


def test_from_a_shell():
    done = subprocess.run([sys.executable, "-m", "alenv.data", "chek", "camvid"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "invalid choice: 'chek'" in done.stderr
