"""From a folder of one's own to a ranking: the suite of the README on photos of four sizes, and on the same as COCO."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from alenv.data import __main__ as data_command
from alenv.data import load
from benchmarks.leaderboard.__main__ import Args, main

README = (Path(__file__).parents[2] / "README.md").read_text()
CLASSES = ("background", "road", "tree", "moving")
SIZES = ((90, 120), (72, 72), (96, 128), (60, 110))


@pytest.fixture(scope="module")
def photos():
    """60 views of generated scenes with four classes: name, image, labels."""
    data = load("scenes")
    kinds = np.array(
        [1 if name == "road" else 2 if name == "tree" else 3 if name == "car" else 0 for name in data.classes]
    )
    rng, found = np.random.default_rng(0), []
    for number, index in enumerate(data.splits["train"][:60]):
        (h, w), at = SIZES[number % 4], rng.random(2)
        y, x = (int(a * (whole - part + 1)) for a, whole, part in zip(at, data.masks.shape[1:], (h, w), strict=True))
        view = slice(y, y + h), slice(x, x + w)
        found.append((f"walk{number % 15}_{number:03d}", data.images[index][view], kinds[data.masks[index][view]]))
    return found


def write_folder(root, photos):
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for name, image, labels in photos:
        Image.fromarray(image).save(root / "images" / f"{name}.jpg")
        Image.fromarray(labels.astype(np.uint8)).save(root / "masks" / f"{name}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES))


def write_coco(root, photos):
    """Two files, ids with gaps, no ``iscrowd``, compressed masks and a shape without area, as exports have them."""
    for part, chosen in (("train", photos[:45]), ("valid", photos[45:])):
        (root / part).mkdir(parents=True)
        images, shapes = [], []
        for number, (name, image, labels) in enumerate(chosen):
            Image.fromarray(image).save(root / part / f"{name}.jpg")
            size = {"height": image.shape[0], "width": image.shape[1]}
            images.append({"id": 10 * number + 3, "file_name": f"{name}.jpg", **size})
            for kind in np.unique(labels[labels > 0]).tolist():
                packed = coco.encode(np.asfortranarray(labels == kind).astype(np.uint8))
                packed["counts"] = packed["counts"].decode()
                shapes.append({"image_id": 10 * number + 3, "category_id": 7 * kind, "segmentation": packed})
            shapes.append({"image_id": 10 * number + 3, "category_id": 7, "segmentation": []})
        shapes = [{"id": 5 * number + 1, **shape} for number, shape in enumerate(shapes)]
        categories = [{"id": 7 * kind, "name": CLASSES[kind]} for kind in (1, 2, 3)]
        content = {"images": images, "annotations": shapes, "categories": categories}
        (root / part / "_annotations.coco.json").write_text(json.dumps(content))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "write"), [("folder", write_folder), ("coco_json", write_coco)])
def test_the_three_commands_of_the_readme(name, write, photos, tmp_path, capsys):
    root, suite = tmp_path / "leaves", tmp_path / "leaves.toml"
    write(root, photos)
    (text,) = re.findall(r"```toml\n(# leaves\.toml\n.*?)```", README, re.DOTALL)
    suite.write_text(text.replace('"folder"', f'"{name}"').replace("~/leaves", str(root)))
    assert data_command.main(["check", name, str(root)]) == 0
    said = capsys.readouterr().out
    assert "60 images" in said
    assert all(kind in said for kind in CLASSES)
    assert data_command.main(["show", name, str(root), "--out", str(tmp_path / "sheet.png")]) == 0
    assert Image.open(tmp_path / "sheet.png").width > 400
    assert main(Args(suite=(suite,), out=tmp_path / "out", jobs=1)) == 0
    ranked = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    assert set(re.findall(r'"(random|entropy|bald|ripu|core_set)"', json.dumps(ranked))) == {
        "random", "entropy", "bald", "ripu", "core_set"
    }  # fmt: skip
    assert Image.open(tmp_path / "out" / "curves.png").width > 400
    first = (tmp_path / "out" / "leaderboard.json").read_bytes()
    assert main(Args(suite=(suite,), out=tmp_path / "out", jobs=1)) == 0
    assert (tmp_path / "out" / "leaderboard.json").read_bytes() == first
    episodes = set((tmp_path / "out" / "episodes").glob("*/*.json*"))
    photo = next(root.rglob("*.jpg"))
    Image.open(photo).rotate(180).save(photo)
    assert main(Args(suite=(suite,), out=tmp_path / "out", jobs=1)) == 0  # an edited image: nothing old is shown
    assert len(set((tmp_path / "out" / "episodes").glob("*/*.json*")) - episodes) == 25
