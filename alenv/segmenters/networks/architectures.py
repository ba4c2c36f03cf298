"""Segmentation networks that are trained end to end: a body that computes features, and a last layer.

Body and head are apart because Monte-Carlo dropout sits between them: a pass costs the head alone. No network draws
random numbers when it runs, and none uses an operation whose gradient CUDA sums in a random order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from alenv.imports import cause
from alenv.segmenters.backbones import IMAGENET, load_timm, timm_features
from alenv.segmenters.networks.layers import ImageStages, conv, make_repeatable, resize
from alenv.segmenters.networks.training import Training
from alenv.segmenters.segmenter import find_segmenter
from alenv.segmenters.weights import State, load_weights, torchvision_models

RANDOM = "random"
"""The name of weights that are drawn instead of read."""


class Network(nn.Module):
    """A segmentation network.

    Args:
        body: Images (n, 3, h, w), standardised, to features (n, D, h', w').
        head: Features to logits (n, C, h', w'); one convolution.
        schedule: How it is trained, where its name is not in ``network_training.TRAININGS``.
    """

    def __init__(self, body: nn.Module, head: nn.Conv2d, schedule: Training | None = None) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.schedule = schedule or Training()

    @property
    def reach(self) -> int:
        """How many features to each side a logit depends on."""
        return int(self.head.kernel_size[0]) // 2

    def forward(self, images: Tensor) -> Tensor:
        """Return logits at full resolution, (n, C, h, w)."""
        return resize(self.head(self.body(images)), images.shape[-2:])


class TopDown(nn.Module):
    """Laterals to one width, and sums from coarse to fine (Lin et al., CVPR 2017).

    Args:
        widths: Channels of the maps, fine to coarse.
        width: Channels of the results.
    """

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in widths)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return maps of the same sizes, fine to coarse."""
        sums: list[Tensor] = []
        for level in reversed(range(len(maps))):
            x = self.laterals[level](maps[level])
            sums.append(x + resize(sums[-1], x.shape[-2:]) if sums else x)
        return sums[::-1]


class Branch(nn.Module):
    """Smooths a map, and brings it to a finer size in steps with a convolution each."""

    def __init__(self, width: int, branch: int, steps: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        self.steps = nn.ModuleList(conv(width if i == 0 else branch, branch) for i in range(steps))

    def forward(self, x: Tensor, sizes: list[torch.Size]) -> Tensor:
        """Return a map of the last of the sizes, one for each step."""
        x = self.smooth(x)
        for step, size in zip(self.steps, sizes, strict=True):
            x = resize(step(x), size)
        return x


class Branches(nn.Module):
    """Brings four maps to the size of the finest and concatenates them.

    The semantic branch of Kirillov et al. (CVPR 2019), with concatenation in the place of the sum.
    """

    def __init__(self, width: int, branch: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(width, branch, max(level, 1)) for level in range(4))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return (n, 4 branch, h', w') in the size of the first map."""
        sizes = [x.shape[-2:] for x in maps]
        finer = [sizes[:1], *(sizes[:level][::-1] for level in range(1, 4))]
        return torch.cat([b(x, to) for b, x, to in zip(self.branches, maps, finer, strict=True)], 1)


def _tiny(model: Any, classes: int) -> Network:
    body = nn.Sequential(conv(3, 16, stride=2), conv(16, 32, stride=2), conv(32, 32))
    return Network(body, nn.Conv2d(32, classes, 1))


def _squeezenet_fpn(model: Any, classes: int) -> Network:
    """SqueezeNet's maps at strides 4, 8 and 16, summed at 64 channels and smoothed once, at stride 4."""
    layers = model.features
    layers[0].padding = (3, 3)  # torchvision has none, and then no map covers the edge of the image
    stages = ImageStages(layers[:6], layers[6:11], layers[11:])
    fine = TopDown((256, 512, 512), 64)
    return Network(nn.Sequential(stages, fine, First(), conv(64, 64)), nn.Conv2d(64, classes, 1))


def _lite0_fpn(model: Any, classes: int) -> Network:
    """EfficientNet-Lite0's maps at strides 4 to 32, summed at 64 channels and smoothed once, at stride 4."""
    widths = tuple(model.feature_info.channels())
    colour = Recolour(model.pretrained_cfg["mean"], model.pretrained_cfg["std"])
    body = nn.Sequential(colour, model, TopDown(widths, 64), First(), conv(64, 64))
    return Network(body, nn.Conv2d(64, classes, 1))


def _fpn_resnet50(model: Any, classes: int) -> Network:
    """The segmenter of Casanova et al. (ICLR 2020): 28.5 M parameters at 11 classes."""
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool, model.layer1)
    stages = ImageStages(stem, model.layer2, model.layer3, model.layer4)
    body = nn.Sequential(stages, TopDown((256, 512, 1024, 2048), 256), Branches(256, 128))
    return Network(body, nn.Conv2d(512, classes, 3, padding=1))


def _deeplab(model: Any, classes: int) -> Network:
    """Torchvision's DeepLabV3 without its own upsampling and dropout."""
    *layers, last = model.classifier
    return Network(nn.Sequential(model.backbone, Out(), *layers), last)


class Recolour(nn.Module):
    """Turns images with the mean and deviation of ImageNet's into those that a backbone was trained on."""

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        own, others, wanted, scale = (torch.tensor(values).view(3, 1, 1) for values in (*IMAGENET, mean, deviation))
        self.register_buffer("scale", others / scale, persistent=False)
        self.register_buffer("shift", (own - wanted) / scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return images of the same shape."""
        return images * self.scale + self.shift


class First(nn.Module):
    """Takes the first of several maps."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return it."""
        return maps[0]


class Out(nn.Module):
    """Takes the map that torchvision's segmentation backbones call ``out``."""

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return it."""
        return maps["out"]


@dataclass(frozen=True)
class Design:
    """How a network is made.

    Attributes:
        build: ``(model, classes) -> network``.
        model: Name of the model of torchvision or timm that it is built from; None if there is none.
        backbone: Name of the classification model whose weights it starts from.
        timm: Whether it is one of timm; its finest map is left out.
    """

    build: Callable[..., Network]
    model: str | None = None
    backbone: str | None = None
    timm: bool = False


TINY = Design(_tiny)
SQUEEZENET_FPN = Design(_squeezenet_fpn, "squeezenet1_0", "squeezenet1_0")
LITE0_FPN = Design(_lite0_fpn, "tf_efficientnet_lite0", "tf_efficientnet_lite0", timm=True)
FPN_RESNET50 = Design(_fpn_resnet50, "resnet50", "resnet50")
DEEPLABV3_RESNET50 = Design(_deeplab, "deeplabv3_resnet50", "resnet50")
DEEPLABV3_RESNET101 = Design(_deeplab, "deeplabv3_resnet101", "resnet101")
DEEPLABV3_MOBILENET_V3_LARGE = Design(_deeplab, "deeplabv3_mobilenet_v3_large", "mobilenet_v3_large")


def make_network(name: str, classes: int, weights: str | None, seed: int = 0) -> Network:
    """Return a network in its initial state, a function of the arguments alone.

    Args:
        name: Of a network in ``segmenter.SEGMENTERS``.
        classes: Number of classes C.
        weights: ImageNet weights of the backbone, see ``weights.load_weights``. ``random``: from scratch, as ``tiny``
            always is.
        seed: Of all weights that are not read.

    Raises:
        ValueError: If the name is unknown, or the weights do not fit it.
        FileNotFoundError: If weights are missing. There is no silent random initialisation.
    """
    found = find_segmenter(name).load()
    design = found if isinstance(found, Design) else Design(partial(_outside, name, found))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        model = _model(design, classes)
        network = design.build(model, classes)
    make_repeatable(network)
    if weights != RANDOM:
        _load(name, design, model, weights)
    return network.eval()


class Build(Protocol):
    """What ``segmenter="package.module:name"`` names."""

    def __call__(self, classes: int) -> Network:
        """Return a network for so many classes, with its initial weights; random ones come from torch's own seed."""


def _outside(name: str, build: Build, model: None, classes: int) -> Network:
    """Make a network of a user."""
    try:
        network = build(classes)
    except OSError:
        raise  # it names the file
    except (Exception, SystemExit) as error:
        raise ValueError(f"segmenter {name!r} cannot be made for {classes} classes: {cause(error)}") from error
    head = getattr(network, "head", None)
    if not isinstance(network, Network) or not isinstance(head, nn.Conv2d) or head.out_channels != classes:
        raise ValueError(
            f"segmenter {name!r} returned a {type(network).__name__}, not an alenv.segmenters.networks.Network(body, "
            f"head) whose head is a convolution to {classes} classes"
        )
    return network


def _model(design: Design, classes: int) -> Any:
    """Make the model that a network is built from, with weights as they are drawn."""
    if design.model is None:
        return None
    if design.timm:
        return timm_features(design.model, finest=1)
    models = torchvision_models()
    if design.model.startswith("deeplab"):
        return models.get_model(design.model, weights=None, weights_backbone=None, num_classes=classes, aux_loss=False)
    return models.get_model(design.model, weights=None)


def _load(name: str, design: Design, model: Any, weights: str | None) -> None:
    """Copy a classification model's weights into the backbone, which shares its layers with the network."""
    if design.backbone is None:
        if weights is not None:
            raise ValueError(f"weights={weights!r} has no effect with segmenter={name!r}; drop it")
        return
    try:
        state = load_weights(design.backbone, weights, f"segmenter={name!r}")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; weights={RANDOM!r} trains from scratch") from error
    try:
        if design.timm:
            load_timm(model, design.backbone, state)
        else:
            _load_torchvision(design, model, state)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"the weights do not fit segmenter={name!r}: {error}") from error


def _load_torchvision(design: Design, model: Any, state: State) -> None:
    target = model.backbone if design.model != design.backbone else model
    names = [key for key in target.state_dict() if not key.endswith("num_batches_tracked")]  # old files have none
    prefix = "features." if f"features.{names[0]}" in state else ""
    target.load_state_dict({key: state[prefix + key] for key in names}, strict=False)


def standardise(images: Tensor) -> Tensor:
    """Turn uint8 pixels (n, h, w, 3) into float32 images (n, 3, h, w) with the mean and variance of ImageNet's."""
    mean = torch.tensor([123.675, 116.28, 103.53], device=images.device).repeat(images.shape[2])
    deviation = torch.tensor([58.395, 57.12, 57.375], device=images.device).repeat(images.shape[2])
    rows = images.flatten(2).float().sub_(mean).div_(deviation)  # along whole rows: far faster than along three numbers
    return rows.view(images.shape).movedim(-1, 1)  # a view: the channels stay last in memory


def dropout(features: Tensor, mask: Tensor) -> Tensor:
    """Drop whole channels: features (n, D, h', w') times a mask (n or 1, D) of zeros and 1 / (1 - rate)."""
    return features * mask.to(features.dtype)[:, :, None, None]
