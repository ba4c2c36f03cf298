"""NetworkModel: a network on its device, and what it says of regions and images.

On a CPU images go through one by one, in one thread: the numbers of an image then depend on no other image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from alenv.arrays import blocks, first_largest
from alenv.data import SegmentationData
from alenv.imports import cause, is_path, source
from alenv.regions import Ids, RegionGrid
from alenv.segmenters.networks.architectures import dropout, make_network
from alenv.segmenters.networks.frames import Frames
from alenv.segmenters.networks.layers import resize
from alenv.segmenters.networks.training import get_weights, set_weights
from alenv.segmenters.networks.windows import Windows
from alenv.segmenters.probes.heads import DROPOUT
from alenv.segmenters.threads import THREADS, torch_threads

BATCH = {"cpu": 1, "cuda": 16}
"""Images that go through the network at once."""
REGIONS = 64
"""Regions that are brought to full resolution at once."""
MEMORY = 2**28
"""Bytes of logits that are kept from one question to the next."""


class NetworkModel:
    """A network that answers questions about a dataset.

    It remembers the logits of images it was asked about until its weights change, so that several acquisition
    channels cost one pass.

    Args:
        data: Images and masks.
        grid: The regions.
        segmenter: Of a network in ``segmenter.SEGMENTERS``.
        weights: ImageNet weights of its backbone, see ``networks.make_network``.
        device: ``cpu``, ``cuda`` or ``cuda:<n>``.
        precision: ``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 where the device is fast at it.
        seed: Of weights that are not read.
        compile: Whether torch.compile makes the code of the body.

    Raises:
        ValueError: If there is no such device.
        RuntimeError: If the body cannot be compiled.
    """

    def __init__(
        self,
        data: SegmentationData,
        grid: RegionGrid,
        segmenter: str,
        weights: str | None,
        device: str,
        precision: str,
        seed: int,
        compile: bool = False,
    ) -> None:
        self.grid, self._segmenter = grid, segmenter
        self.device = torch.device(device)
        if self.device.type == "cuda" and (self.device.index or 0) >= (there := torch.cuda.device_count()):
            raise ValueError(f"device={device!r}, but torch sees {there} GPUs here; use device='cpu'")
        self._bfloat16 = precision == "bfloat16" or (precision == "auto" and _fast_bfloat16(self.device))
        self._logits: dict[int, Tensor] = {}
        with self.settings():
            network = make_network(segmenter, len(data.classes), weights, seed)
            self._start = get_weights(network)
            self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.frames = Frames(data, self.device)
            if compile:
                self._compile()
            size = self._feature_size()
        self._windows = Windows(grid, size, network.reach, self.device)
        self.facts: dict[str, Any] = {
            "weights": hashlib.sha256(self._start.numpy().tobytes()).hexdigest()[:16],
            "precision": "bfloat16" if self._bfloat16 else "float32",
            "compile": compile,
            "threads": THREADS,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "mkldnn": torch.backends.mkldnn.enabled,
            **({"source": source(segmenter)} if is_path(segmenter) else {}),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
        }
        """What results depend on besides data and arguments, as JSON values."""

    @property
    def channels(self) -> int:
        """Channels D of the features."""
        return self.network.head.in_channels

    @contextmanager
    def settings(self, autocast: bool = True) -> Iterator[None]:
        """Run a block with this model's threads, precision and deterministic convolutions.

        Args:
            autocast: Whether products may be taken in bfloat16, as in the network; otherwise in the types they are of.

        Raises:
            RuntimeError: If the GPU runs out of memory; names the arguments to lower.
        """
        kind, fast = self.device.type, autocast and self._bfloat16
        with ExitStack() as stack:
            stack.enter_context(torch_threads(THREADS))
            if kind == "cuda":
                flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
                stack.enter_context(flags)
            # without the cache, which would keep the weights from before a step of training
            stack.enter_context(torch.autocast(kind, torch.bfloat16, enabled=fast, cache_enabled=False))
            try:
                yield
            except torch.OutOfMemoryError as error:
                raise RuntimeError(
                    f"segmenter={self._segmenter!r} does not fit into the memory of device={str(self.device)!r}; "
                    "lower picks, candidates or region, or use precision='bfloat16', another segmenter or device='cpu'"
                ) from error

    def restart(self) -> None:
        """Go back to the initial weights."""
        self.set_weights(self._start)

    def get_weights(self) -> Tensor:
        """Return a copy of all weights and running statistics in a row."""
        return get_weights(self.network)

    def set_weights(self, weights: Tensor) -> None:
        """Put back what ``get_weights`` returned."""
        set_weights(self.network, weights)
        self.forget()

    @property
    def parameters(self) -> int:
        """Number of the parameters that are trained."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def try_weights(self, weights: Tensor) -> None:
        """Look at one image with other weights; those there are come back.

        Raises:
            ValueError: If what the network says is not finite.
        """
        before = self.get_weights()
        try:
            self.set_weights(weights)
            if not next(self.logits(np.zeros(1, np.int64))).isfinite().all():
                raise ValueError(f"with these weights segmenter={self._segmenter!r} overflows; take others")
        finally:
            self.set_weights(before)

    def forget(self) -> None:
        """Drop all answers: weights or images have changed."""
        self._logits.clear()

    @torch.no_grad()
    def look(self, regions: Ids) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network once on each image that holds one of some regions (n,).

        Returns:
            Class probabilities (n, C, rows, columns), on the device; embeddings (n, D), on the CPU; the features of
            windows around the regions (n, D, ., .), in half precision, on the device.
        """
        probs, embedding = self._empty(regions), torch.empty(len(regions), self.channels)
        shape = len(regions), self.channels, *self._windows.size
        windows = torch.empty(shape, dtype=torch.float16, device=self.device)
        for chosen, cut in self._cut(regions):
            rows = torch.from_numpy(chosen).to(self.device)
            probs[rows], windows[rows] = self._probs(cut, regions[chosen]), cut.half()
            embedding[chosen] = self._embedding(cut, regions[chosen])
        return probs, embedding, windows

    @torch.no_grad()
    def embed(self, regions: Ids) -> Tensor:
        """Return embeddings (n, D), on the CPU: unit vectors along the mean features of each region."""
        embedding = torch.empty(len(regions), self.channels)
        for chosen, cut in self._cut(regions):
            embedding[chosen] = self._embedding(cut, regions[chosen])
        return embedding

    @torch.no_grad()
    def cells(self, regions: Ids, side: int) -> Tensor:
        """Return the mean features of the cells, of ``side`` pixels, of regions: (n, cells, D), on the CPU."""
        height, width = self.grid.region
        cells = torch.empty(len(regions), height // side * (width // side), self.channels)
        for chosen, cut in self._cut(regions):
            cells[chosen] = self.cells_of(cut, regions[chosen], side)
        return cells

    def cells_of(self, windows: Tensor, regions: Ids, side: int) -> Tensor:
        """Return the same of windows around the regions, see ``look``."""
        return self._windows.cells(windows, regions, side).cpu()

    @torch.no_grad()
    def look_again(self, windows: Tensor, regions: Ids, rng: np.random.Generator) -> Tensor:
        """Return the probabilities of regions (n, C, rows, columns) with some of their features dropped."""
        probs, mask = self._empty(regions), self.mask(rng, 1)
        for start in range(0, len(regions), REGIONS):
            part = slice(start, start + REGIONS)
            probs[part] = self._probs(dropout(windows[part].float(), mask), regions[part])
        return probs

    @torch.no_grad()
    def features(self, image: int) -> Tensor:
        """Return the features of an image (1, D, h', w'), in half precision."""
        return next(self._features(np.array([image])))[1].half()

    @torch.no_grad()
    def look_again_at_all(self, features: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the probabilities of all pixels of an image (1, C, h, w) with some of its features dropped."""
        dropped = dropout(features.float(), self.mask(rng, 1))
        return self.full(self.network.head(dropped).float()).softmax(1)

    @torch.no_grad()
    def logits(self, images: Ids) -> Iterator[Tensor]:
        """Yield logits of whole images at the network's own resolution, (1, C, h', w') each."""
        missing = np.array([i for i in images.tolist() if i not in self._logits], np.int64)
        fresh = (one for _, features in self._features(missing) for one in self._apart(features))
        for image in images.tolist():
            yield self._logits[image] if image in self._logits else next(fresh)

    def full(self, logits: Tensor) -> Tensor:
        """Bring logits to full resolution."""
        return resize(logits, self.grid.size)

    def winners(self, logits: Tensor) -> Tensor:
        """Return the class with the largest logit at full resolution, the first of equal ones, uint8 (n, h, w)."""
        full = self.full(logits)
        strips = [full[:, :, rows] for rows in blocks(full.movedim(2, 0))]  # laid out class by class while in the cache
        return torch.cat([first_largest(strip.contiguous()) for strip in strips], 1)

    def mask(self, rng: np.random.Generator, count: int) -> Tensor:
        """Draw dropout masks (count, D)."""
        kept = rng.random((count, self.channels)) >= DROPOUT
        return torch.from_numpy(kept / (1 - DROPOUT)).float().to(self.device)

    @torch.no_grad()
    def _feature_size(self) -> tuple[int, int]:
        """Return the size of the body's features.

        Raises:
            ValueError: If a user's body fails, or makes no features for its head.
        """
        image = self.frames.whole(np.zeros(1, np.int64))
        try:
            features = self.network.body(image)
        except Exception as error:
            if not is_path(self._segmenter) or isinstance(error, torch.OutOfMemoryError):
                raise
            raise ValueError(f"the body of segmenter={self._segmenter!r} fails: {cause(error)}") from error
        if not isinstance(features, Tensor) or features.ndim != 4 or features.shape[1] != self.channels:
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(
                f"the body of segmenter={self._segmenter!r} makes {got} of an image {tuple(image.shape)}; expected a "
                f"tensor (1, {self.channels}, rows, columns): so many channels has its head"
            )
        return features.shape[2], features.shape[3]

    def _compile(self) -> None:
        from torch._dynamo.exc import TorchDynamoException  # takes seconds

        self.network.body.compile()
        try:
            self._feature_size()
        except TorchDynamoException as error:
            cause = str(error).partition("\n")[0]
            raise RuntimeError(
                f"compile=True: segmenter={self._segmenter!r} could not be compiled for device={str(self.device)!r} "
                f"({cause}). It takes a C++ compiler, on a GPU Triton, and a whole cache (delete torch's if a run was "
                "killed while it compiled, see $TORCHINDUCTOR_CACHE_DIR); or use compile=False"
            ) from error

    def _cut(self, regions: Ids) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield, for each batch of images, which of some regions lie in them, and the features around these."""
        images, within = self.grid.group(regions)
        place = within // self.grid.per_image
        for first, features in self._features(images):
            chosen = np.flatnonzero((place >= first) & (place < first + len(features)))
            self._remember(images[first : first + len(features)], features)
            yield chosen, self._windows.cut(features, place[chosen] - first, regions[chosen])

    def _features(self, images: Ids) -> Iterator[tuple[int, Tensor]]:
        """Yield the position of each batch of images, and its features."""
        batch = BATCH[self.device.type]
        for start in range(0, len(images), batch):
            yield start, self.network.body(self.frames.whole(images[start : start + batch]))

    def _apart(self, features: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of each image, (1, C, h', w').

        They are split off: after ``[None]`` torch does not see that classes lie together, and resizes slowly.
        """
        return self.network.head(features).float().split(1)

    def _remember(self, images: Ids, features: Tensor) -> None:
        logits = self._apart(features)
        room = MEMORY // logits[0].nbytes - len(self._logits)
        self._logits.update(zip(images.tolist()[: max(room, 0)], logits, strict=False))

    def _embedding(self, windows: Tensor, regions: Ids) -> Tensor:
        return F.normalize(self._windows.mean(windows, regions), dim=1).cpu()

    def _probs(self, windows: Tensor, regions: Ids) -> Tensor:
        return self._windows.expand(self.network.head(windows), regions).softmax(1)

    def _empty(self, regions: Ids) -> Tensor:
        return torch.empty(len(regions), self.network.head.out_channels, *self.grid.region, device=self.device)


def _fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster there: on a GPU, and on CPUs with instructions for them."""
    if device.type == "cuda":
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
