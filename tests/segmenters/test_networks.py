"""Networks: shapes, sizes and initial weights; layers against torch's own; windows against whole images."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from alenv.data import IGNORE
from alenv.regions import RegionGrid
from alenv.segmenters.networks.architectures import Design, dropout, make_network, standardise
from alenv.segmenters.networks.layers import MaxPool, bilinear, resize
from alenv.segmenters.networks.training import crops, endless, epoch, get_weights, loss, set_weights
from alenv.segmenters.networks.windows import Windows
from alenv.segmenters.segmenter import SEGMENTERS

STRIDES = {
    "tiny": 4,
    "squeezenet_fpn": 4,
    "lite0_fpn": 4,
    "fpn_resnet50": 4,
    "deeplabv3_resnet50": 8,
    "deeplabv3_resnet101": 8,
    "deeplabv3_mobilenet_v3_large": 16,
}
"""Of the features."""


def test_every_segmenter_of_the_table_is_where_it_says():
    kinds = {name: kind.load() for name, kind in SEGMENTERS.items()}
    assert {name for name, found in kinds.items() if isinstance(found, Design)} == set(STRIDES)
    assert {name for name, kind in SEGMENTERS.items() if kind.network} == set(STRIDES)


@pytest.mark.parametrize(("name", "stride"), STRIDES.items())
def test_shapes(name, stride):
    if name == "lite0_fpn":
        pytest.importorskip("timm", reason="needs the extra alenv[timm]")
    network = make_network(name, 11, "random")
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        features = network.body(images)
        logits = network.head(features)
        assert network(images).shape == (2, 11, 48, 64)
    assert features.shape[2:] == (48 // stride, 64 // stride)
    assert logits.shape == (2, 11, 48 // stride, 64 // stride)
    assert features.shape[1] == network.head.in_channels
    assert not any(isinstance(layer, nn.Dropout | nn.AdaptiveAvgPool2d) for layer in network.modules())


def test_the_papers_network_has_its_size():
    network = make_network("fpn_resnet50", 11, "random")
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(28.5, abs=0.05)
    assert network.head.in_channels == 512


def test_random_weights_are_a_function_of_the_seed_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = get_weights(make_network("squeezenet_fpn", 5, "random", seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(first, get_weights(make_network("squeezenet_fpn", 5, "random", seed=1)))
    assert not torch.equal(first, get_weights(make_network("squeezenet_fpn", 5, "random", seed=2)))


def test_from_scratch_reads_nothing(monkeypatch):
    monkeypatch.delenv("ALENV_WEIGHTS", raising=False)
    make_network("squeezenet_fpn", 5, "random")
    make_network("tiny", 5, None)
    with pytest.raises(FileNotFoundError, match=r"'squeezenet_fpn' needs weights: set ALENV_WEIGHTS.*weights='random'"):
        make_network("squeezenet_fpn", 5, None)


def test_pretrained_weights_are_in_the_body(squeezenet_weights):
    network = make_network("squeezenet_fpn", 5, str(squeezenet_weights))
    stored = torch.load(squeezenet_weights, weights_only=True)
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    assert torch.equal(first.weight, stored["features.0.weight"])
    scratch = make_network("squeezenet_fpn", 5, "random")
    assert torch.equal(network.head.weight, scratch.head.weight)


def test_lite0_sees_the_colours_and_gives_the_maps_of_the_whole_model(tmp_path):
    timm = pytest.importorskip("timm", reason="needs the extra alenv[timm]")
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    torch.save(whole.state_dict(), tmp_path / "lite0.pth")
    network = make_network("lite0_fpn", 5, str(tmp_path / "lite0.pth"))
    pixels = torch.randint(0, 256, (1, 48, 64, 3), dtype=torch.uint8)
    own = (pixels.movedim(-1, 1) / 255 - 0.5) / 0.5  # as timm's configuration of this model says
    with torch.no_grad():
        maps = network.body[1](network.body[0](standardise(pixels)))
        expected = whole.forward_intermediates(own, intermediates_only=True, norm=False)
    assert [tuple(x.shape[1:]) for x in maps] == [(24, 12, 16), (40, 6, 8), (112, 3, 4), (320, 2, 2)]
    for x, y in zip(maps, expected[-4:], strict=True):
        torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-3)


def test_weights_of_a_deeplab_backbone_are_found(tmp_path):
    """Torchvision names the same layers otherwise in a classifier and in a segmentation model."""
    models = pytest.importorskip("torchvision.models")
    state = models.mobilenet_v3_large(weights=None).state_dict()
    torch.save(state, tmp_path / "mobile.pth")
    network = make_network("deeplabv3_mobilenet_v3_large", 5, str(tmp_path / "mobile.pth"))
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    assert torch.equal(first.weight, state["features.0.0.weight"])


def test_unfit_weights_are_errors(squeezenet_weights):
    with pytest.raises(ValueError, match="do not fit segmenter='fpn_resnet50'"):
        make_network("fpn_resnet50", 5, str(squeezenet_weights))
    with pytest.raises(ValueError, match="no effect with segmenter='tiny'"):
        make_network("tiny", 5, str(squeezenet_weights))
    with pytest.raises(ValueError, match="did you mean 'fpn_resnet50'"):
        make_network("fpn_resnet5", 5, None)


# --- Layers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"), [((5, 7), (20, 28)), ((3, 4), (11, 9)), ((1, 6), (8, 6)), ((9, 9), (5, 4))]
)
def test_resize_and_its_gradient_are_torchs(source, target):
    x = torch.randn(2, 3, *source, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours, torchs = resize(x, target), F.interpolate(y, target, mode="bilinear", align_corners=False)
    assert torch.equal(ours, torchs)
    weight = torch.randn_like(ours)
    (ours * weight).sum().backward()
    (torchs * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-5, atol=1e-5)
    product = bilinear(source[0], target[0]) @ x @ bilinear(source[1], target[1]).T
    torch.testing.assert_close(product, torchs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(12, 15), (13, 16), (7, 5)])
@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(2, 2)]
)
def test_max_pool_of_shifted_maps_is_torchs(pool, size):
    x = torch.randn(2, 3, *size, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours, torchs = MaxPool(pool).shifted(x), pool(y)
    assert torch.equal(ours, torchs)
    weight = torch.randn_like(ours)
    (ours * weight).sum().backward()
    (torchs * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_dropout_takes_whole_channels():
    features = torch.ones(2, 3, 4, 5)
    mask = torch.tensor([[0.0, 1.25, 1.25]])
    assert torch.equal(dropout(features, mask)[:, 0], torch.zeros(2, 4, 5))
    assert torch.equal(dropout(features, mask)[:, 1:], torch.full((2, 2, 4, 5), 1.25))


@pytest.mark.parametrize("region", [(12, 16), (18, 8), (36, 48), (1, 1)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_windows_give_what_whole_images_give(region, kernel):
    """Also where neither stride nor region divides the other, and at the edges."""
    torch.manual_seed(0)
    grid = RegionGrid((36, 48), region)
    head = nn.Conv2d(5, 3, kernel, padding=kernel // 2)
    features = torch.randn(2, 5, 9, 13)
    ids = np.random.default_rng(0).permutation(2 * grid.per_image)[:40]
    with torch.no_grad():
        whole = resize(head(features), grid.size)
        means = resize(features, grid.size)
        windows = Windows(grid, (9, 13), kernel // 2, torch.device("cpu"))
        cut = windows.cut(features, ids // grid.per_image, ids)
        ours = windows.expand(head(cut), ids)
    for i, region_id in enumerate(ids):
        image, y, x = grid.corner(int(region_id))
        place = image, slice(None), slice(y, y + region[0]), slice(x, x + region[1])
        torch.testing.assert_close(ours[i], whole[place], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(windows.mean(cut, ids)[i], means[place].mean((1, 2)), rtol=1e-4, atol=1e-5)


# --- Training ---------------------------------------------------------------------------------------------------------


def test_loss_is_cross_entropy_and_ignores_what_has_no_label():
    labels = torch.randint(0, 4, (2, 5, 6), dtype=torch.uint8)
    labels[0, :3] = IGNORE
    logits = torch.randn(2, 4, 5, 6, requires_grad=True)
    value = loss(logits, labels)
    torch.testing.assert_close(value, F.cross_entropy(logits, labels.long(), ignore_index=IGNORE))
    value.backward()
    assert (logits.grad[0, :, :3] == 0).all()
    assert (logits.grad[0, :, 3:] != 0).all()
    nothing = loss(logits, torch.full_like(labels, IGNORE))
    assert nothing == 0


@pytest.mark.parametrize("side", [20, 64, 1000])
def test_crops_contain_their_regions(side):
    grid = RegionGrid((96, 128), (24, 32))
    ids = np.arange(3 * grid.per_image)
    images, ys, xs = crops(np.random.default_rng(0), grid, ids, side)
    np.testing.assert_array_equal(images, ids // grid.per_image)
    assert (ys.shape[1], xs.shape[1]) == (min(side, 96), min(side, 128))
    for region, y, x in zip(ids, ys, xs, strict=True):
        _, top, left = grid.corner(int(region))
        for pixels, start, length, whole in ((y, top, 24, 96), (x, left, 32, 128)):
            inside = set(range(start, start + length))
            assert inside >= set(pixels) if side < length else inside <= set(pixels)
            assert pixels.min() >= 0
            assert pixels.max() < whole
            assert (abs(np.diff(pixels)) == 1).all()
    mirrored = xs[:, 0] > xs[:, -1]
    assert 0.2 < mirrored.mean() < 0.8


def test_an_epoch_meets_every_region_once():
    grid, ids = RegionGrid((96, 128), (96, 128)), np.arange(10)
    seen = [images for images, _, _ in epoch(np.random.default_rng(0), grid, ids, 64, batch=4)]
    assert [len(images) for images in seen] == [4, 4, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), ids)
    assert [len(next(endless(np.random.default_rng(0), grid, some, 64, 4))[0]) for some in (ids, ids[:0])] == [4, 0]


def test_weights_go_round_in_any_memory_format():
    network = make_network("tiny", 5, None).to(memory_format=torch.channels_last)
    weights = get_weights(network)
    changed = weights + 1
    set_weights(network, changed)
    assert torch.equal(get_weights(network), changed)
    set_weights(network, weights)
    expected = make_network("tiny", 5, None).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_pixels_are_standardised_channel_by_channel():
    pixels = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
    expected = (pixels.float() - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor([58.395, 57.12, 57.375])
    assert torch.equal(standardise(pixels), expected.movedim(-1, 1))
    assert standardise(pixels).is_contiguous(memory_format=torch.channels_last)
