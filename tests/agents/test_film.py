"""Films of episodes: what they show grows with what is bought, and wrong arguments end in one sentence."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
from PIL import Image

from agents.film import Args, main, region_frames
from agents.heuristics import Random


def test_every_round_adds_what_was_bought_to_the_same_images():
    env = gym.make("RegionSelect-v0", segmenter="lda", picks=40, budget=80, render_mode="rgb_array")
    frames = list(region_frames(env, Random(), Args(images=2)))
    assert [caption.split(",")[0] for _, caption in frames] == [f"random: {n} regions bought" for n in (0, 40, 80)]
    width = frames[0][0].shape[1] // 3
    image, labels = (np.stack([picture[:, i * width : (i + 1) * width] for picture, _ in frames]) for i in (0, 1))
    bright = (labels.max(-1) > 64).sum((1, 2))  # where nothing was bought, the image is darkened to a quarter
    assert bright[0] == 0
    assert 0 < bright[1] <= bright[2]
    assert (image[0] == image[2]).mean() > 0.9  # all but the outlines


def test_the_command_writes_a_gif_with_a_picture_for_every_step(tmp_path, capsys, monkeypatch):
    name, out = "SingleClassMine-v0", tmp_path / "film.gif"
    monkeypatch.setitem(gym.registry, name, replace(gym.spec(name), kwargs={"budget": 5}))
    assert main(["--out", str(out), "--env", name, "--policy", "cosine_ridge"]) == 0
    with Image.open(out) as film:
        assert film.n_frames == 6
    assert "6 pictures" in capsys.readouterr().out


def test_wrong_arguments_end_in_one_sentence(tmp_path, capsys):
    for wrong in (["--policy", "entropi"], ["--env", "Nowhere-v0"]):
        assert main(["--out", str(tmp_path / "film.gif"), *wrong]) == 2
        assert capsys.readouterr().err.startswith("error: ")
    assert not list(tmp_path.iterdir())
