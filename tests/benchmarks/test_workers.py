"""Real processes: one that dies costs its call alone, and none outlives its parent, however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from benchmarks.jobs import Job, record_path
from benchmarks.workers import in_processes


@dataclass(frozen=True)
class Call:
    name: str
    do: Callable[[], str | None]


def told(what):
    return what


def ended(code):
    os._exit(code)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def left():
    sys.exit("enough")


def variable(name):
    return os.environ[name]


def interruptible():
    return None if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else "Ctrl-C reaches it"


def calls_of(**functions):
    return [Call(name, function) for name, function in functions.items()]


def test_a_worker_that_dies_costs_its_call_alone():
    functions = {"one": partial(told, None), "two": partial(ended, 3), "three": killed, "four": left}
    functions |= {"five": partial(told, "bad"), "six": partial(variable, "OMP_NUM_THREADS")}
    functions["seven"] = interruptible
    results = sorted(filter(None, in_processes(calls_of(**functions), jobs=1)))
    assert results == [
        "1",
        "bad",
        "four failed: SystemExit: enough",
        "three failed: its process ended (SIGKILL; if memory ran out, start again with fewer --jobs)",
        "two failed: its process ended (exit status 3; a policy must not end Python)",
    ]


def test_what_is_left_ends_when_no_more_is_asked_for(tmp_path):
    calls = [Call(str(i), partial(sleep, tmp_path / f"{i}", 0.0 if i == 0 else 60.0)) for i in range(2)]
    results = in_processes(calls, jobs=2)
    assert next(results) is None
    results.close()
    assert not any(alive(pid) for pid in pids(tmp_path, 1))


def sleep(path, seconds):
    path.write_text(str(os.getpid()))
    time.sleep(seconds)


def pids(folder, number):
    until = time.monotonic() + 30
    while len(found := [p.read_text() for p in folder.iterdir()]) < number or not all(found):
        assert time.monotonic() < until, "the workers did not start"
        time.sleep(0.05)
    return [int(pid) for pid in found]


def alive(pid):
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
from benchmarks.workers import in_processes
from test_workers import Call, sleep
if __name__ == "__main__":
    calls = [Call(str(i), partial(sleep, Path({folder!r}) / str(i), 60.0)) for i in range(2)]
    list(in_processes(calls, 2))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_workers_end_with_a_killed_parent(tmp_path, how):
    (folder := tmp_path / "pids").mkdir()
    (tmp_path / "parent.py").write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder)))
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], env={**os.environ, "PYTHONPATH": "."})
    workers = pids(folder, 2)
    assert all(map(alive, workers))
    parent.send_signal(how)
    parent.wait()
    until = time.monotonic() + 10
    while any(map(alive, workers)):
        assert time.monotonic() < until, "workers live on"
        time.sleep(0.05)


def test_ctrl_c_during_the_imports(tmp_path):
    """They take seconds; the import of a library that never ends stands for them."""
    (tmp_path / "tyro.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "benchmarks.leaderboard", "--suite", "x.toml"]
    path = f"{tmp_path}{os.pathsep}."
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as started:
        assert started.stdout.readline() == "importing\n"
        started.send_signal(signal.SIGINT)
        assert started.stderr.read() == "interrupted before anything was started\n"
    assert started.returncode == 130


def attempt(path, make):
    return Job("one", path, make, str).do()


def test_a_failed_job_keeps_its_traceback_and_what_was_there(tmp_path):
    path = tmp_path / "folder" / "file.jsonl"
    assert attempt(path, lambda: "first") is None
    said = attempt(path, lambda: 1 / 0)
    assert said == f"one failed: ZeroDivisionError: division by zero ({path.with_suffix('.error')})"
    assert "Traceback" in path.with_suffix(".error").read_text()
    assert path.read_text() == "first"
    assert attempt(path, left) == f"one failed: SystemExit: enough ({path.with_suffix('.error')})"
    assert attempt(path, lambda: "second") is None
    assert [p.name for p in path.parent.iterdir()] == ["file.jsonl"]


@pytest.mark.parametrize("where", ["alenv.files.os.replace", "benchmarks.jobs.Path.mkdir"])
def test_a_full_disk_costs_the_job(tmp_path, monkeypatch, where):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(where, full)
    assert "one failed: OSError: [Errno 28] No space left on device" in attempt(tmp_path / "f", lambda: "text")


def test_the_path_of_a_record_depends_on_all_inputs_and_on_no_order_of_names():
    paths = [record_path(Path("f"), "0", inputs) for inputs in ([1, {"a": 1, "b": 2}], [1, {"a": 1, "b": 3}], [2, {}])]
    assert len(set(paths)) == 3
    assert record_path(Path("f"), "0", [1, {"b": 2, "a": 1}]) == paths[0]
