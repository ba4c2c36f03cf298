"""Everything that a GPU is for, in one call of less than nine minutes.

    python -m benchmarks.speed gpu pack DIR         # CamVid as JPEG, SqueezeNet's weights: small enough to travel
    ALENV_DATA=DIR ALENV_WEIGHTS=DIR/weights python -m benchmarks.speed gpu run --out OUT

The second one runs tests on CUDA, the speed of networks, episodes, the ladder, and a compiled network.

Each part is a process with a time limit; what it prints lies in ``DIR/<part>.txt``, what became of it in
``DIR/summary.json``, episodes in ``DIR/<policy>.json`` as soon as they are over.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import tyro
from PIL import Image

from agents.catalogue import make_policy
from agents.play import evaluate
from alenv.data import find_root
from alenv.files import write_whole
from benchmarks.command import check_device, command, make_folder, refusing

SECONDS = 530
"""Of all parts together."""
LIMITS = {"tests": 80, "speed": 120, "episodes": 300, "ladder": SECONDS, "compiled": SECONDS}
"""Of each part, in seconds; the last one takes what is left."""
POLICIES = ("random", "entropy", "class_balanced_entropy")
EPISODE: tuple[str, dict[str, Any]] = ("RegionSelect-CamVid-FPN-v0", {})
QUICK: tuple[str, dict[str, Any]] = (
    "RegionSelect-v0",
    {"segmenter": "tiny", "initial": "state:1", "picks": 3, "candidates": 4, "budget": 6},
)


@command
def pack(folder: tyro.conf.Positional[Path]) -> int:
    """Write CamVid into ``folder/camvid``, frames as JPEG of quality 95, and SqueezeNet's weights beside it."""
    with refusing():
        root = find_root("camvid", None)
        make_folder(folder)
    for part in ("train", "val", "test"):
        frames, masks = folder / "camvid" / part, folder / "camvid" / f"{part}annot"
        frames.mkdir(parents=True, exist_ok=True)
        for path in sorted((root / part).glob("*.png")):
            Image.open(path).convert("RGB").save(frames / f"{path.stem}.jpg", quality=95)
        shutil.copytree(root / masks.name, masks, dirs_exist_ok=True)
    squeezenet = Path(os.environ.get("ALENV_WEIGHTS", "")) / "squeezenet1_0_imagenet.pth"
    if squeezenet.is_file():
        (folder / "weights").mkdir(exist_ok=True)
        shutil.copy(squeezenet, folder / "weights")
    else:
        print("$ALENV_WEIGHTS has no squeezenet1_0_imagenet.pth: without it there is no ladder", file=sys.stderr)
    return 0


@command
def run(out: Path, device: str = "cuda", quick: bool = False) -> int:
    """Run all parts.

    Args:
        out: Folder of the results.
        device: Where networks compute.
        quick: A few rounds of a small network on generated scenes, to try the script.
    """
    with refusing():
        check_device(device)
        make_folder(out)
    deadline, summary = time.monotonic() + SECONDS, {"device": _name(device), "weights": weights() or "found"}
    commands = _commands(out, device, quick)
    for part, words in commands.items():
        limit = min(LIMITS[part], deadline - time.monotonic())
        summary[part] = _run(words, out / f"{part}.txt", limit) if limit > 0 else "no time left"
        print(f"{part}: {summary[part]}", flush=True)
        write_whole(out / "summary.json", json.dumps(summary, indent=1))
    return int(any(summary[part] != "done" for part in commands))


@command
def episodes(out: Path, device: str = "cuda", quick: bool = False) -> int:
    """Play an episode of each policy; the first one trains the network that all of them start with."""
    with refusing():
        check_device(device)
        make_folder(out)
    env_id, kwargs = QUICK if quick else EPISODE
    if not quick and weights():
        print("no ImageNet weights of ResNet-50 were found: the network starts from random ones", flush=True)
        kwargs = {**kwargs, "weights": weights()}
    for name in POLICIES:
        start = time.perf_counter()
        (episode,) = evaluate(make_policy(name, env_id), env_id, {**kwargs, "device": device}, [0], splits=())
        write_whole(out / f"{name}.json", episode.to_json())
        miou = episode.metrics["miou/reward"]
        seconds = time.perf_counter() - start
        print(f"{name}: mIoU {miou[0]:.2f} -> {miou[-1]:.2f}, {len(miou) - 1} rounds, {seconds:.0f} s", flush=True)
    return 0


def weights() -> str | None:
    """Return None if ResNet-50's ImageNet weights are at hand, else ``random``."""
    folder = os.environ.get("ALENV_WEIGHTS")
    return None if folder and (Path(folder) / "resnet50_imagenet.pth").is_file() else "random"


def _commands(out: Path, device: str, quick: bool) -> dict[str, list[str]]:
    rungs = ["scenes, tiny"] if quick else ["scenes, tiny", "CamVid, squeezenet_fpn", "CamVid, fpn_resnet50"]
    speed = ["benchmarks.speed", "--device", device, "--rounds", "1" if quick else "3", "--only"]
    commands = {
        "tests": ["pytest", "-q", "-rs", "tests/segmenters/test_networks_cuda.py"],
        "speed": [*speed, *rungs],
        "episodes": ["benchmarks.speed", "gpu", "episodes", "--out", str(out), "--device", device],
    }
    if quick:
        commands["episodes"].append("--quick")
    suite = Path("configs/ladders/quick.toml") if quick else _ladder(out)
    ladder = ["benchmarks.ladder", "--suite", str(suite), "--jobs", "4", "--device", device]
    commands["ladder"] = [*ladder, "--out", str(out / "ladder")]
    return {**commands, "compiled": [*speed, f"{rungs[-1]}, compiled"]}


def _ladder(out: Path) -> Path:
    """Return the ladder on CamVid; without ImageNet weights, a copy whose last rung starts from random ones."""
    suite = Path("configs/ladders/camvid.toml")
    if not weights():
        return suite
    write_whole(out / suite.name, suite.read_text() + f'weights = "{weights()}"\n')
    return out / suite.name


def _run(command: list[str], log: Path, limit: float) -> str:
    """Run a module; what it started ends with it."""
    with log.open("w") as file:
        arguments = [sys.executable, "-u", "-m", *command]
        process = subprocess.Popen(arguments, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"stopped after {limit:.0f} s"
        finally:  # also when this script is interrupted
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return "done" if code == 0 else f"failed with exit status {code}, see {log.name}"


def _name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def main(words: Sequence[str]) -> int:
    """Run a part of this page's command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that parts are stopped too
    commands = {"pack": pack, "run": run, "episodes": episodes}
    name = "python -m benchmarks.speed gpu"
    return tyro.extras.subcommand_cli_from_dict(commands, prog=name, description=__doc__, args=words)
