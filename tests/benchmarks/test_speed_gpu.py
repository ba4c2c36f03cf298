"""The script for a GPU, tried without one."""

import json
import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image

from benchmarks.ladder.rungs import read_ladder
from benchmarks.speed import gpu


@pytest.mark.slow
def test_quick_run_on_the_cpu(tmp_path):
    assert gpu.run(tmp_path, device="cpu", quick=True) == 0, (tmp_path / "summary.json").read_text()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [summary[part] for part in ("tests", "speed", "episodes", "ladder", "compiled")] == ["done"] * 5
    assert "scenes, tiny" in (tmp_path / "speed.txt").read_text()
    for policy in ("random", "entropy", "class_balanced_entropy"):
        assert len(json.loads((tmp_path / f"{policy}.json").read_text())["actions"]) == 6
    assert "tiny" in (tmp_path / "ladder" / "ladder.md").read_text()


def test_the_ladder_starts_from_weights_that_are_there(tmp_path, monkeypatch):
    """And what starts from random ones says so: in the file, the report and nowhere but in its last rung."""
    monkeypatch.setenv("ALENV_WEIGHTS", str(tmp_path))
    rungs = read_ladder(gpu._ladder(tmp_path)).rungs
    assert [rung.kwargs.get("weights") for rung in rungs] == [None, None, None, "random"]
    assert rungs[-1].kwargs["segmenter"] == "fpn_resnet50"
    (tmp_path / "resnet50_imagenet.pth").touch()
    assert all("weights" not in rung.kwargs for rung in read_ladder(gpu._ladder(tmp_path)).rungs)


def test_without_a_gpu_it_says_so(tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu.run(tmp_path / "out") == 2
    assert "torch sees no GPU here; try --device cpu" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_interrupted_part_is_stopped(tmp_path, monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            started.append(self)
            if len(started) == 1:
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        gpu._run(["timeit", "-n", "1", "-r", "1", "__import__('time').sleep(60)"], tmp_path / "log", 60)
    assert started[0].poll() == -signal.SIGKILL


def test_a_part_that_takes_too_long_is_stopped(tmp_path):
    assert gpu._run(["timeit", "-n", "1", "-r", "1", "__import__('time').sleep(60)"], tmp_path / "log", 1).startswith(
        "stop"
    )
    assert gpu._run(["no_such_module"], tmp_path / "log", 60) == "failed with exit status 1, see log"


def test_packed_frames_keep_their_names_and_masks(tmp_path, monkeypatch):
    for part in ("train", "val", "test"):
        for folder, mode in ((part, "RGB"), (f"{part}annot", "L")):
            (tmp_path / "in" / "camvid" / folder).mkdir(parents=True)
            Image.new(mode, (8, 6), 3).save(tmp_path / "in" / "camvid" / folder / "a.png")
    (tmp_path / "squeezenet1_0_imagenet.pth").write_bytes(b"weights")
    monkeypatch.setenv("ALENV_DATA", str(tmp_path / "in"))
    monkeypatch.setenv("ALENV_WEIGHTS", str(tmp_path))
    subprocess.run([sys.executable, "-m", "benchmarks.speed", "gpu", "pack", str(tmp_path / "out")], check=True)
    packed = tmp_path / "out" / "camvid"
    assert sorted(str(p.relative_to(packed)) for p in packed.glob("t*/*")) == [
        "test/a.jpg", "testannot/a.png", "train/a.jpg", "trainannot/a.png",
    ]  # fmt: skip
    assert (tmp_path / "out" / "weights" / "squeezenet1_0_imagenet.pth").read_bytes() == b"weights"
    assert (packed / "valannot" / "a.png").read_bytes() == (tmp_path / "in/camvid/valannot/a.png").read_bytes()
