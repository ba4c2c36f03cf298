"""What a RegionSelect environment is built of: its data, their regions, and the model."""

from __future__ import annotations

from typing import cast

from alenv import data as datasets
from alenv.acquisition import GRADIENTS, POSTERIOR
from alenv.data import SegmentationData
from alenv.data.adaptation import open_source, parse_source
from alenv.envs.region.arguments import Arguments
from alenv.regions import RegionGrid, WindowGrid, make_grid, make_windows
from alenv.segmenters.segmenter import Segmenter


def load_data(arguments: Arguments) -> tuple[SegmentationData, RegionGrid]:
    """Return the data as they are stored, and their regions."""
    dataset = arguments.opened
    data = datasets.read(arguments.dataset, dataset, arguments.split)
    size = data.images.shape[1:3]
    kinds = {"image": size, "pixel": (1, 1)}
    region = arguments.region or dataset.region
    if arguments.pooling == "ranked":
        return data, make_windows(size, cast(tuple[int, int], region))
    return data, make_grid(size, kinds[region] if isinstance(region, str) else region, dataset.cell)


def make_model(data: SegmentationData, grid: RegionGrid, arguments: Arguments) -> Segmenter:
    """Make the model; these modules import torch, which `import alenv` must not."""
    dataset, given = arguments.opened, arguments.initial.startswith("source:")
    source = open_source(*parse_source(arguments.initial), dataset) if given else None
    if arguments.kind.network:
        from alenv.segmenters.networks.learner import NetworkLearner

        how = arguments.device, arguments.precision, arguments.recipe, arguments.compile
        network = NetworkLearner(data, grid, dataset.cell, arguments.segmenter, arguments.weights, *how, source)
        _check_last_layer(network.reach, arguments)
        return network
    from alenv.segmenters.probes.learner import Learner
    from alenv.segmenters.probes.windows import WindowLearner

    of_head = arguments.segmenter, arguments.features, arguments.weights, arguments.dimensions
    return (WindowLearner if isinstance(grid, WindowGrid) else Learner)(data, grid, dataset.cell, *of_head, source)


def _check_last_layer(reach: int, arguments: Arguments) -> None:
    """Refuse channels that look into the last layer of a user's network, if that sees more than one place at a time."""
    for name, score in zip(arguments.scores, arguments.channels, strict=True):
        if reach and not (GRADIENTS | POSTERIOR).isdisjoint(score.needs):
            side = 2 * reach + 1
            raise ValueError(
                f"score {name!r} needs a last layer of 1 x 1, and that of segmenter={arguments.segmenter!r} is a "
                f"convolution of {side} x {side}; give the network a head of 1 x 1, or drop the score"
            )
