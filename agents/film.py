"""An episode as a GIF: what a policy has bought, and what the model then sees.

    python -m agents.film --policy class_balanced_entropy --out episode.gif

Of RegionSelect it shows, after every round, the images of which most was bought: the image, its bought labels, and the
prediction. Of SingleClassMine it shows the contact sheet after every step.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import tyro
from msgspec import Meta
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import alenv  # noqa: F401  registers the ids
from agents.arguments import check_fields
from agents.catalogue import make_policy
from agents.environments import mines
from agents.play import Info, Policy, shown_to
from alenv.files import write_whole
from alenv.outside import Count, Positive

CAPTION = 28
"""Height of the line below a picture."""
COLOURS = 64
"""Of a picture: classes have few, and files become half as large as with 256."""


@dataclass(frozen=True)
class Args:
    """Film an episode."""

    out: Path = Path("episode.gif")
    """the GIF"""
    policy: str = "class_balanced_entropy"
    """name of a heuristic, agent:file, or package.module:Class"""
    env: str = "RegionSelect-v0"
    """id of the environment"""
    seed: Count = 0
    """of the episode"""
    images: Positive = 2
    """how many are shown (RegionSelect)"""
    scale: Annotated[int, Meta(ge=1, le=16)] = 2
    """size of a pixel"""
    seconds: Annotated[float, Meta(ge=0.02, le=60)] = 0.8
    """between two pictures; the last one stays four times as long"""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        check_fields(self)


def play(env: gym.Env, policy: Policy, seed: int) -> Iterator[Info]:
    """Play an episode and yield the infos of the start and of every step."""
    obs, info = env.reset(seed=seed)
    if hasattr(policy, "attach"):
        policy.attach(env.unwrapped)
    policy.reset(seed)
    over = False
    yield info
    while not over:
        obs, _, over, _, info = env.step(policy.act(obs, info))
        yield info


def region_frames(env: Any, policy: Policy, args: Args) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Yield a picture and its caption for the start and for the end of every round."""
    # played twice: only the end tells which images are worth looking at, and a seed gives the same episode
    bought = Counter(int(info["picked"][0]) for info in play(env, policy, args.seed))
    images = [image for image, _ in bought.most_common(args.images + 1) if image >= 0][: args.images]
    rounds = -1
    for info in play(env, policy, args.seed):
        if info["round"] > rounds:
            rounds = info["round"]
            told = f"{policy.name}: {info['labelled_regions']} regions bought, mIoU {info['miou']:.1f}"
            yield env.unwrapped.draw(images), f"{told}   (image, bought labels, prediction)"


def mining_frames(env: Any, policy: Policy, args: Args) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Yield a picture and its caption for every step."""
    for info in play(env, policy, args.seed):
        yield env.render(), f"{policy.name}: {info['positives']} images with {info['target_class']}"


def titled(picture: NDArray[np.uint8], caption: str, scale: int) -> Image.Image:
    """Return a picture, enlarged, with a line below."""
    image = Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1))
    page = Image.new("RGB", (image.width, image.height + CAPTION))
    page.paste(image)
    ImageDraw.Draw(page).text((8, image.height + 5), caption, "white", ImageFont.load_default(16))
    return page.quantize(COLOURS, dither=Image.Dither.NONE)


def film(args: Args) -> int:
    """Play an episode, write the GIF, and return the number of its pictures.

    Raises:
        ValueError: If policy or environment are none.
        OSError: If the file cannot be written.
    """
    policy, mining = make_policy(args.policy, args.env), mines(args.env)
    env = gym.make(args.env, **shown_to(policy, {}), render_mode="rgb_array")
    frames = (mining_frames if mining else region_frames)(env, policy, args)
    first, *others = [titled(picture, caption, 1 if mining else args.scale) for picture, caption in frames]
    pause = int(1000 * args.seconds)
    durations = [pause] * len(others) + [4 * pause]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    write_whole(args.out, buffer.getvalue())
    return 1 + len(others)


def main(argv: list[str] | None = None) -> int:
    """Film an episode and return the exit status."""
    try:
        args = tyro.cli(Args, args=argv, description=__doc__)
        count = film(args)
    except (ValueError, OSError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {count} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
