"""Images and masks as people have them: right pixels, or an error that names the file; never other pixels."""

import contextlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from test_pairs import open_pairs

from alenv.data import files
from alenv.data.faults import SHOWN
from alenv.data.files import FORBIDDEN
from alenv.data.pairs import find_pairs

HEIGHT, WIDTH = 6, 10
PICTURE = np.random.default_rng(0).integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(4, size=(HEIGHT, WIDTH), dtype=np.uint8)
TURNS = {  # what a viewer does to the stored picture: EXIF 2.32, tag 274
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def stored(path, array, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(array)).save(path, exif=exif)


@pytest.mark.parametrize("orientation", TURNS)
def test_images_are_turned_as_viewers_do(tmp_path, orientation):
    stored(tmp_path / "a.png", PICTURE, orientation)
    seen = TURNS[orientation](PICTURE)
    np.testing.assert_array_equal(files.read_image(tmp_path / "a.png", seen.shape[:2], "the mask"), seen)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_an_image_stays_as_it_is_stored_where_only_that_fits_its_labels(tmp_path, orientation):
    stored(tmp_path / "a.png", PICTURE, orientation)
    np.testing.assert_array_equal(files.read_image(tmp_path / "a.png", (HEIGHT, WIDTH), "the mask"), PICTURE)


def test_an_image_that_fits_neither_way_is_refused_with_both_sizes(tmp_path):
    stored(tmp_path / "a.png", PICTURE, 6)
    with pytest.raises(ValueError, match=r"a\.png is 6x10 \(width x height\), but the mask is 9x9; take"):
        files.read_image(tmp_path / "a.png", (9, 9), "the mask")


def test_masks_are_turned_with_their_images(tmp_path):
    stored(tmp_path / "a.png", LABELS, 6)
    np.testing.assert_array_equal(files.read_mask(tmp_path / "a.png"), TURNS[6](LABELS))


@pytest.mark.parametrize(("low", "high"), [(0, 65535), (1000, 60000), (0, 256), (0, 255), (3, 3)])
def test_grey_of_16_bits_is_scaled_to_8(tmp_path, low, high):
    grey = np.linspace(low, high, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    image = files.read_image(tmp_path / "a.png", (HEIGHT, WIDTH), "the mask")
    expected = np.round(grey / 257) if high > 255 else grey
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, 2))


@pytest.mark.parametrize("array", [np.full((2, 3), 0.5, np.float32), np.full((2, 3), 70000, np.int32)])
def test_grey_without_a_scale_is_refused(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=r"a\.tiff holds grey values .* save it with 8 or 16 bits"):
        files.read_image(tmp_path / "a.tiff", (2, 3), "the mask")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_masks_saved_as_colours_are_read(tmp_path, mode):
    Image.fromarray(LABELS).convert(mode).save(tmp_path / "m.png")
    np.testing.assert_array_equal(files.read_mask(tmp_path / "m.png"), LABELS)


def test_masks_of_colours_or_with_holes_are_refused(tmp_path):
    holes = np.dstack([LABELS, np.full_like(LABELS, 255)])
    holes[2, 3, 1] = 254
    for array, mode in ((PICTURE, "RGB"), (holes, "LA")):
        Image.fromarray(array, mode).save(tmp_path / "m.png")
        with pytest.raises(ValueError, match=f"m.png has mode {mode}, not one label per pixel"):
            files.read_mask(tmp_path / "m.png")


def png_of_16_bits(path, array, colour):
    """Pillow cannot write one. ``array`` is (h, w, channels) of big-endian uint16, ``colour`` PNG's type of colour."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize(("channels", "colour"), [(3, 2), (2, 4), (4, 6)])
def test_masks_of_16_bits_a_channel_are_refused(tmp_path, channels, colour):
    """Pillow keeps the upper byte: labels 0 to 3 would all be 0."""
    labels = np.repeat(LABELS[..., None], channels, 2).astype(np.uint16)
    if channels % 2 == 0:
        labels[..., -1] = 65535
    png_of_16_bits(tmp_path / "m.png", labels, colour)
    with pytest.raises(ValueError, match=r"m\.png has mode \w+, not one label per pixel"):
        files.read_mask(tmp_path / "m.png")


def test_odd_notes_beside_the_orientation_do_no_harm(tmp_path):
    """``ImageOps.exif_transpose`` would write them anew, and fail with errors of many types that name no file."""
    stored(tmp_path / "a.jpg", PICTURE, 6)
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    start, read = content.index(b"Exif"), 0
    for place in range(start + 6, start + 40):
        for bits in (1, 64, 255):
            content[place] ^= bits
            (tmp_path / "b.jpg").write_bytes(content)
            with contextlib.suppress(ValueError):  # of ours: Pillow may not open it at all
                read += files.upright(files.decode(tmp_path / "b.jpg")).mode == "RGB"
            content[place] ^= bits
    assert read > 80


@pytest.fixture
def folders(tmp_path, cache):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    return tmp_path


def pair(root, image="a.png", mask="a.png"):
    Image.fromarray(PICTURE).save(root / "x" / image)
    Image.fromarray(LABELS).save(root / "y" / mask)


def load(root):
    table = np.full(256, FORBIDDEN, np.uint8)
    table[:4] = range(4)
    return open_pairs("set", find_pairs({root / "x": root / "y"}), table)


def test_all_spellings_are_found_and_what_systems_leave_is_passed_over(folders):
    spellings = [
        ("a.PNG", "a.png"),
        ("b.jpeg", "b.PNG"),
        ("c.JPG", "c.png"),
        ("d.JPEG", "d.Png"),
        ("\u00e4 b.png", "\u00e4 b.png"),
    ]
    for image, mask in spellings:
        pair(folders, image, mask)
    for name in ("._a.png", ".DS_Store", "Thumbs.db", ".hidden.jpg"):
        (folders / "x" / name).write_bytes(b"\0\5\26\7")
        (folders / "y" / name).write_bytes(b"\0\5\26\7")
    (folders / "x" / "sub.png").mkdir()
    assert load(folders).meta["names"] == ["a.png", "b.png", "c.png", "d.png", "\u00e4 b.png"]


def test_two_images_of_one_name_are_refused(folders):
    pair(folders)
    Image.fromarray(PICTURE).save(folders / "x" / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.png and a\.jpg have one name; remove one"):
        load(folders)


def test_broken_links_say_where_they_lead(folders):
    pair(folders)
    (folders / "x" / "b.png").symlink_to(folders / "gone.png")
    with pytest.raises(FileNotFoundError, match=r"b\.png is a link to .*gone\.png, which does not exist; mend"):
        load(folders)


def test_all_faults_are_named_at_once(folders):
    for i in range(SHOWN + 5):
        pair(folders, f"{i:02d}.png", f"{i:02d}.png")
    wrong = [*range(2, SHOWN + 4)]
    for i in wrong:
        (folders / "x" / f"{i:02d}.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=rf"{len(wrong)} faults") as caught:
        load(folders)
    assert [f"{i:02d}.png" in str(caught.value) for i in wrong] == [True] * SHOWN + [False] * 2
    assert "and 2 more" in str(caught.value)
    for i in range(SHOWN + 5):
        (folders / "y" / f"{i:02d}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"00\.png .*is missing(.|\n)*01\.png .*is missing"):
        load(folders)
