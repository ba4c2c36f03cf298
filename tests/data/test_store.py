"""Stores: made once, whatever is killed, damaged or done at the same time."""

import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv.data import store
from alenv.data.store import StoreWarning, cache_folder, key, open_store

A = np.arange(6000, dtype=np.uint8).reshape(3, 40, 50)
B = np.linspace(0, 1, 7)


@pytest.fixture
def quiet():
    """Any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def build(folder):
    np.save(folder / "a.npy", A)
    np.save(folder / "b.npy", B)
    return {"names": ["x", "y"]}


def must_not_build(folder):
    raise AssertionError("built again")


def check(opened):
    np.testing.assert_array_equal(opened.arrays["a"], A)
    np.testing.assert_array_equal(opened.arrays["b"], B)
    assert opened.meta == {"names": ["x", "y"]}


@pytest.mark.usefixtures("cache", "quiet")
def test_built_once_then_mapped_read_only():
    first = open_store("s", "source", build)
    again = open_store("s", "source", must_not_build)
    for opened in (first, again):
        check(opened)
        assert isinstance(opened.arrays["a"], np.memmap)
    assert first.digest == again.digest
    with pytest.raises(ValueError, match="read-only"):
        again.arrays["a"][0] = 0


@pytest.mark.usefixtures("cache", "quiet")
def test_digest_covers_names_contents_and_meta_but_not_the_source():
    def variant(name="a", value=0, meta=0):
        def build(folder):
            np.save(folder / f"{name}.npy", np.full(5, value))
            return {"meta": meta}

        return build

    variants = [variant(), variant(name="b"), variant(value=1), variant(meta=1)]
    digests = [open_store(f"s{i}", "source", build).digest for i, build in enumerate(variants)]
    assert len(set(digests)) == 4
    assert open_store("other", "another source", variant()).digest == digests[0]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_in_place(path):
    """Through a memory map, as a stray write would."""
    np.load(path, mmap_mode="r+").reshape(-1)[3000] ^= 1


def grow_unseen(path):
    """As a copy that failed and kept the time stamp may leave it."""
    status = path.stat()
    path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


DAMAGES = {
    "truncated array": ("a.npy", truncate),
    "flipped byte": ("a.npy", flip),
    "flipped in place": ("a.npy", flip_in_place),
    "grown unseen": ("a.npy", grow_unseen),
    "missing array": ("b.npy", Path.unlink),
    "missing manifest": ("manifest.json", Path.unlink),
    "truncated manifest": ("manifest.json", truncate),
    "another manifest": ("manifest.json", lambda path: path.write_text("[]")),
    "other names in the manifest": ("manifest.json", lambda p: p.write_text(p.read_text().replace('"x"', '"z"'))),
    "other hash in the manifest": ("manifest.json", lambda p: p.write_text(p.read_text().replace('56": "', '56": "f'))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_store_is_rebuilt_with_a_message(cache, damage):
    digest = open_store("s", "source", build).digest
    name, harm = DAMAGES[damage]
    harm(cache / "s" / name)
    with pytest.warns(StoreWarning, match=f"rebuilding.*{cache / 's'}"):
        rebuilt = open_store("s", "source", build)
    check(rebuilt)
    assert rebuilt.digest == digest
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(open_store("s", "source", must_not_build))


@given(st.sampled_from(["a.npy", "b.npy", "manifest.json"]), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_no_flipped_byte_ever_shows(tmp_path_factory, name, place, bits):
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        folder = tmp_path_factory.getbasetemp() / "flipped"
        patch.setenv("ALENV_CACHE", str(folder))
        digest = open_store("s", "source", build).digest
        path = folder / "s" / name
        data = bytearray(path.read_bytes())
        data[int(place * len(data))] ^= bits
        path.write_bytes(data)
        opened = open_store("s", "source", build)
        check(opened)
        assert opened.digest == digest


def test_write_within_the_tick_of_the_build_shows(cache):
    """The file system's clock need not have moved since the array was saved."""
    saved = []

    def noting_build(folder):
        meta = build(folder)
        saved.append((folder / "a.npy").stat().st_mtime_ns)
        return meta

    open_store("s", "source", noting_build)
    flip(cache / "s" / "a.npy")
    os.utime(cache / "s" / "a.npy", ns=(saved[0], saved[0]))
    with pytest.warns(StoreWarning, match=r"a\.npy have changed"):
        check(open_store("s", "source", build))


def test_other_source_is_rebuilt_with_a_message(cache):
    open_store("s", "old files", lambda folder: {"names": []})
    with pytest.warns(StoreWarning, match="other files or settings"):
        check(open_store("s", "new files", build))
    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["s"]


@pytest.mark.usefixtures("quiet")
def test_copied_cache_is_hashed_once_and_kept(cache, monkeypatch):
    digest = open_store("s", "source", build).digest
    shutil.copytree(cache, cache.with_name("copy"), copy_function=shutil.copy)  # copies no time stamps
    monkeypatch.setenv("ALENV_CACHE", str(cache.with_name("copy")))
    assert open_store("s", "source", must_not_build).digest == digest
    monkeypatch.setattr(store, "_sha256", must_not_build)
    check(open_store("s", "source", must_not_build))


@pytest.mark.usefixtures("quiet")
def test_somebody_elses_cache_is_read_without_writing(cache, monkeypatch):
    open_store("s", "source", build)
    (cache / "s.lock").unlink()
    os.utime(cache / "s" / "a.npy")

    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(store, "FileLock", refuse)
    check(open_store("s", "source", must_not_build))


@pytest.mark.usefixtures("quiet")
def test_failed_build_leaves_nothing(cache):
    def fail(folder):
        np.save(folder / "a.npy", A)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        open_store("s", "source", fail)
    assert not [path for path in cache.iterdir() if path.is_dir()]
    check(open_store("s", "source", build))


SCRIPT = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from alenv.data import store

    def hang(*_, **__):
        print("now", flush=True)
        time.sleep(60)
    """


def start(code, *arguments):
    script = textwrap.dedent(SCRIPT) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


MOMENTS = {
    "in the builder": "build = lambda folder: (np.save(folder / 'a.npy', np.zeros(9)), hang())",
    "before the manifest": "build = lambda folder: np.save(folder / 'a.npy', np.zeros(9)); store.json.dumps = hang",
    "before the move": "build = lambda folder: np.save(folder / 'a.npy', np.zeros(9)); Path.rename = hang",
}


@pytest.mark.parametrize("before", ["nothing", "a store of other files"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_build_leaves_nothing_that_looks_finished(cache, moment, before):
    """The old store is lost at worst; the new one is whole or absent."""
    if before != "nothing":
        open_store("s", "old files", build)
    process = start(f"{MOMENTS[moment]}\nstore.open_store('s', 'source', build)")
    assert process.stdout.readline() == "now\n"
    process.kill()
    process.communicate()
    assert len(list(cache.glob("s.*.tmp/a.npy"))) == 1  # it was killed in the middle
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        check(open_store("s", "source", build))
    assert sorted(path.name for path in cache.iterdir()) == ["s", "s.lock"]


def test_a_build_follows_no_link_that_waits_for_it(cache, tmp_path, monkeypatch):
    cache.mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("alenv.data.store.secrets.token_hex", lambda n: "known")
    monkeypatch.setattr("alenv.data.store.shutil.rmtree", lambda *args, **named: None)
    (cache / "s.known.tmp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        open_store("s", "source", build)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_of_two_processes_one_builds(cache, tmp_path):
    code = """
    me, other, log = map(Path, sys.argv[1:])

    def build(folder):
        with log.open("a") as file:
            file.write("built\\n")
        time.sleep(0.3)
        np.save(folder / "a.npy", np.arange(9))
        return {}

    me.touch()
    while not other.exists():
        time.sleep(0.001)
    print(store.open_store("s", "source", build).arrays["a"].sum(), flush=True)
    """
    me, other, log = tmp_path / "me", tmp_path / "other", tmp_path / "log"
    processes = [start(code, me, other, log), start(code, other, me, log)]
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert answers == ["36\n", "36\n"]
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, bool])
def test_blocks_are_written_as_the_whole_would_be(tmp_path, dtype):
    whole = np.random.default_rng(0).random((7, 3, 5)).astype(dtype).swapaxes(1, 2)
    store.save_blocks(tmp_path / "blocks.npy", 7, (whole[i : i + 3] for i in range(0, 7, 3)))
    np.save(tmp_path / "whole.npy", np.ascontiguousarray(whole))
    assert (tmp_path / "blocks.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("ALENV_CACHE", "~/here")
    assert cache_folder() == Path("~/here").expanduser()
    monkeypatch.delenv("ALENV_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/alenv")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("~/.cache/alenv").expanduser()


def test_cache_folder_that_cannot_be_written(cache, monkeypatch):
    cache.write_text("a file in the place of the folder")
    with pytest.raises(OSError, match=f"{cache}.*set ALENV_CACHE"):
        open_store("s", "source", build)
    cache.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)  # a test that runs as root cannot be refused otherwise
    with pytest.raises(OSError, match=rf"{cache} \(Permission denied\); set ALENV_CACHE"):
        open_store("s", "source", build)


def test_key_is_stable_and_tells_values_apart():
    assert key("a", [1, 2], {"x": 1, "y": 2}) == key("a", [1, 2], {"y": 2, "x": 1}) == "ab2a0ec9cba3bb8f"
    assert len({key(1, 2), key(2, 1), key([1, 2]), key("1", 2), key(12)}) == 5
