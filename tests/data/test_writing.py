"""Stores of images: whole after any kill, in little memory, with the same bytes from one process or many."""

import os
import subprocess
import sys
import textwrap
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from alenv.data import writing
from alenv.data.items import Item, open_items
from alenv.data.store import JOURNAL, StoreWarning

SIZE, COUNT = (6, 8), 23


def make(number, log=None, size=SIZE):
    """An image and a mask that tell where they belong."""
    if log:
        with Path(log).open("a") as file:
            file.write(f"{number}\n")
    return np.full((*size, 3), number, np.uint8), np.full(size, number, np.uint8)


def bad(number):
    raise ValueError(f"item {number} cannot be read")


def end(number):
    os._exit(3)


def items(folder, log=None, wrong=(), fault=bad):
    """Items of one file each, parts of three."""
    folder.mkdir(exist_ok=True)
    for number in range(COUNT):
        path = folder / str(number)
        if not path.exists():
            path.write_text("x")
    return [
        Item(str(i), (folder / str(i),), partial(fault, i) if i in wrong else partial(make, i, log))
        for i in range(COUNT)
    ]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(writing, "LONGEST", 3)
    monkeypatch.setattr(writing, "cores", lambda: 1)


@pytest.fixture
def many(monkeypatch):
    """Always in processes of their own."""
    monkeypatch.setattr(writing, "WORTH", 2)
    monkeypatch.setattr(writing, "cores", lambda: 2)


def check(store):
    expected = np.arange(COUNT, dtype=np.uint8)
    assert store.arrays["images"].shape == (COUNT, *SIZE, 3)
    for array in store.arrays.values():
        assert isinstance(array, np.memmap)
        for value in (array.reshape(COUNT, -1).min(1), array.reshape(COUNT, -1).max(1)):
            np.testing.assert_array_equal(value, expected)
    assert store.meta == {"names": [str(i) for i in range(COUNT)]}


def read_since(log):
    numbers = sorted(int(line) for line in log.read_text().split()) if log.exists() else []
    log.unlink(missing_ok=True)
    return numbers


def left(cache):
    [folder] = cache.glob("s.*.tmp")
    return folder


def test_processes_write_the_same_bytes_as_one(cache, tmp_path, many, monkeypatch):
    log = tmp_path / "log"
    shared = open_items("s", items(tmp_path / "x", log), SIZE)
    check(shared)
    assert read_since(log) == [*range(COUNT)]
    monkeypatch.setattr(writing, "WORTH", 10**9)
    assert open_items("t", items(tmp_path / "x"), SIZE).digest == shared.digest
    assert sorted(path.name for path in cache.iterdir()) == ["s", "s.lock", "t", "t.lock"]
    assert not (cache / "s" / JOURNAL).exists()


def test_items_that_cannot_travel_are_read_here(cache, tmp_path, many):
    """A closure, as users write them."""
    stay = [Item(item.name, item.files, lambda read=item.read: read()) for item in items(tmp_path / "x")]
    check(open_items("s", stay, SIZE))


SCRIPT = """
import sys
from pathlib import Path
from functools import partial
import time
from alenv.data import writing
from alenv.data.items import Item, open_items
import test_writing

folder, log, left = Path(sys.argv[1]), sys.argv[2], [*range(int(sys.argv[3]))]
writing.LONGEST, writing.WORTH, writing.cores = 3, 2, lambda: int(sys.argv[4])

def hang_after_some(parts, number, images, masks, write=writing.Parts.write):
    if not left:
        time.sleep(600)
    left.pop()
    write(parts, number, images, masks)

writing.Parts.write = hang_after_some
test_writing.check(open_items("s", test_writing.items(folder, log), test_writing.SIZE))
print("built")
"""


def start(tmp_path, writes, processes, code=SCRIPT):
    (tmp_path / "script.py").write_text(textwrap.dedent(code))
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "x"), str(tmp_path / "log"), str(writes)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen([*command, str(processes)], env=environment, stdout=subprocess.PIPE, text=True)


def journal(cache):
    return [line for path in cache.glob(f"s.*.tmp/{JOURNAL}") for line in path.read_text().split("\n") if line]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_build_goes_on_with_what_is_written(cache, tmp_path, processes):
    """Twice killed, after two parts each; an unguarded script, which processes must not run again."""
    before = 0
    for _ in range(2):
        process = start(tmp_path, 2, processes)
        while len(journal(cache)) < before + 2 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        before = len(journal(cache))
    assert before == 4
    log = tmp_path / "log"
    read_since(log)
    check(open_items("s", items(tmp_path / "x", log), SIZE))
    # As a set: processes whose parent was killed finish the part that they are at.
    assert len(set(read_since(log))) <= COUNT - 3 * before + 1
    assert sorted(path.name for path in cache.iterdir()) == ["s", "s.lock"]


def interrupted(folder, log, after=4):
    """Leave a build with some finished parts."""
    write = writing.Parts.write

    def some(parts, number, *contents):
        if number == after:
            raise KeyboardInterrupt
        write(parts, number, *contents)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing.Parts, "write", some)
        with pytest.raises(KeyboardInterrupt):
            open_items("s", items(folder, log), SIZE)
    read_since(log)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a byte of an image": ("images.npy", lambda path: flip(path, 128 + 5 * 144), {3, 4, 5}),
    "a byte of a mask": ("masks.npy", lambda path: flip(path, 128), {0, 1, 2}),
    "the end is cut off": ("images.npy", lambda path: os.truncate(path, 128 + 11 * 144), {9, 10, 11}),
    "no masks": ("masks.npy", Path.unlink, set(range(12))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_parts_of_an_ended_build_are_made_again_and_said_so(cache, tmp_path, damage):
    log = tmp_path / "log"
    interrupted(tmp_path / "x", log)
    name, harm, again = DAMAGES[damage]
    harm(left(cache) / name)
    with pytest.warns(StoreWarning, match=rf"{len(again) // 3} of the 4 parts .* damaged"):
        check(open_items("s", items(tmp_path / "x", log), SIZE))
    assert set(read_since(log)) == again | set(range(12, COUNT))


@pytest.mark.parametrize("harm", [lambda p: os.truncate(p, p.stat().st_size - 9), lambda p: p.write_bytes(b"\xff\0 x")])
def test_a_torn_journal_costs_its_parts_alone(cache, tmp_path, harm):
    log = tmp_path / "log"
    interrupted(tmp_path / "x", log)
    harm(left(cache) / JOURNAL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(open_items("s", items(tmp_path / "x", log), SIZE))


def test_after_a_fault_is_mended_its_part_alone_is_read_again(cache, tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ValueError, match=r"2 faults:\nitem 4 cannot be read\nitem 20 cannot be read"):
        open_items("s", items(tmp_path / "x", log, wrong=[20, 4]), SIZE)
    read_since(log)
    (tmp_path / "x" / "4").write_text("mended")
    (tmp_path / "x" / "20").write_text("mended")
    check(open_items("s", items(tmp_path / "x", log), SIZE))
    assert read_since(log) == [3, 4, 5, 18, 19, 20]


@pytest.mark.parametrize("whose", ["a link", "somebody else's"])
def test_only_folders_of_our_own_are_gone_on_in(cache, tmp_path, monkeypatch, whose):
    log = tmp_path / "log"
    interrupted(tmp_path / "x", log)
    if whose == "a link":
        left(cache).rename(tmp_path / "elsewhere")
        (cache / "s.known.tmp").symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setattr(os, "geteuid", lambda: -1)
    check(open_items("s", items(tmp_path / "x", log), SIZE))
    assert read_since(log) == [*range(COUNT)]


def test_items_of_another_size_are_refused(cache, tmp_path):
    wrong = Item("odd", (), partial(make, 0, size=(5, 8)))
    with pytest.raises(ValueError, match=r"item 'odd': its read\(\) returns uint8 \(5, 8, 3\), not uint8 \(6, 8, 3\)"):
        open_items("s", [wrong], SIZE)


def test_no_room_is_said_before_anything_is_read(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    with pytest.raises(OSError, match=f"take 0.0 GiB, but {cache} has room for 0.0; make room .* ALENV_CACHE"):
        open_items("s", items(tmp_path / "x", tmp_path / "log"), SIZE)
    assert not (tmp_path / "log").exists()


def test_a_process_that_dies_is_said_and_what_is_finished_is_kept(cache, tmp_path, many):
    with pytest.raises(OSError, match=r"has ended \(status 3\); if memory ran out"):
        open_items("s", items(tmp_path / "x", wrong=[22], fault=end), SIZE)
    assert journal(cache)
    check(open_items("s", items(tmp_path / "x"), SIZE))


def test_processes_end_with_their_parent(cache, tmp_path):
    process = start(tmp_path, 1, 2)
    while not journal(cache):
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}/cmdline").exists() and _alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _alive(pid):
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


LIMITED = """
import resource, sys
from functools import partial
from pathlib import Path
import numpy as np
from alenv.data.items import Item, open_items
import test_writing

size, count = (256, 512), 400
items = [Item(str(i), (), partial(test_writing.make, i % 251, None, size)) for i in range(count)]
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + 2**27, held + 2**27))
try:
    np.ones(2**28, np.uint8)
    sys.exit("the limit does not work here")
except MemoryError:
    store = open_items("s", items, size)
print(store.arrays["images"].nbytes, store.arrays["images"][-1, 0, 0, 0])
"""


def test_a_store_is_larger_than_memory(cache, tmp_path):
    """200 MiB of pixels while the heap may grow by 128."""
    answer = start(tmp_path, 0, 0, LIMITED).communicate(timeout=60)[0]
    assert answer.split() == [str(400 * 256 * 512 * 3), str(399 % 251)]
