"""What comes from outside to an agent is accepted, or refused in one sentence, and nothing has changed."""

import io
import math
import shutil
import subprocess
import sys
import zipfile

import pytest
import torch
from hostile.agents import ONES, PRETRAINED

from agents import lookahead, misical, ralis, sb3
from agents.arguments import read_args
from agents.catalogue import AGENTS, make_policy
from agents.checkpoints import read, write
from agents.training import command

TINY = ["--iterations", "6", "--num-envs", "2", "--warmup", "1", "--replay", "8", "--batch", "2", "--hidden", "4"]
TINY += ["--validate-every", "2", "--validation-episodes", "2", "--save-every", "2", "--dataset", "mixture:2000"]
TINY += ["--budget", "3"]


@pytest.mark.parametrize("agent", [lookahead, misical, ralis, sb3])
@pytest.mark.parametrize("flag", ["validate-every", "validation-episodes", "save-every", "batch"])
def test_trainings_that_train_nothing(agent, flag, capsys):
    length = "episodes" if agent is ralis else "iterations"
    for name in (flag, length):
        with pytest.raises(SystemExit) as stop:
            read_args(agent.Args, [f"--{name}", "0"], "")
        assert stop.value.code == 2
        assert f"{name.replace('-', '_')}=0" in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize(
    ("agent", "text", "message"),
    [
        (misical, 'gamma = "x"', r"agent\.toml: gamma='x': expected a number"),
        (ralis, "gamma = nan", "gamma=nan"),
        (misical, "hidden = 1_000_000_000_000", "hidden=1000000000000 would need .* GiB"),
        (misical, "num_envs = 1000\nseed = 999\nreplay=9999", None),
        (misical, "num_envs = 1001\nseed = 999\nreplay=9999", "num_envs=1001 with seed=999"),
        (misical, "warmup = 6000", "warmup=6000: nothing is learned"),
        (sb3, 'algorithm = "dqn"\nwarmup = 100_000', "nothing is learned"),
        (ralis, "episodes = 1\nbatch = 300", "nothing is learned"),
        (lookahead, "envs = []", r"nothing to learn from"),
        (lookahead, "[kwargs]\nbudget = 3", r"kwargs\.budget=3"),
        (misical, "gamma = 0.5\ngamma = 0.6", "not valid TOML"),
        (misical, 'out = "x"', "unknown key 'out'"),
    ],
)
def test_files_that_are_refused(tmp_path, agent, text, message):
    path = tmp_path / "agent.toml"
    path.write_text(text)
    if message is None:
        read_args(agent.Args, ["--config", str(path)], "")
    else:
        with pytest.raises(ValueError, match=message):
            read_args(agent.Args, ["--config", str(path)], "")


def test_what_is_no_file(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "none.toml", "/dev/zero"):
        assert command(lambda path=path: misical.make_run(["--config", str(path)])) == 2
        assert str(path) in capsys.readouterr().err
    file = tmp_path / "file"
    file.write_text("")
    assert command(lambda: misical.make_run([*TINY, "--out", str(file)])) == 2
    assert str(file) in capsys.readouterr().err


def test_environments_of_the_wrong_kind(capsys):
    for flags in (["--env", "SingleClassMine-v0"], ["--env", "CartPole-v1"], ["--env", "RegionSelekt-v0"]):
        assert command(lambda flags=flags: ralis.make_run(flags)) == 2
    assert "Did you mean: `RegionSelect`" in capsys.readouterr().err


def run(folder, *flags):
    return command(lambda: misical.make_run([*TINY, "--out", str(folder), *flags]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert run(folder) == 0
    return folder


def spoil(saved, path, value):
    *parents, last = path
    for name in parents:
        saved = saved[name]
    if value is None:
        del saved[last]
    else:
        saved[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["args"], None, "'args' is missing"),
        (["args", "gamma"], None, "gamma"),
        (["extra"], 1, "extra"),
        (["state", "iteration"], 7, "beyond"),
        (["state", "iteration"], -1, "iteration=-1"),
        (["state", "best"], math.nan, "best=nan"),
        (["state", "returns"], torch.zeros(3), "returns"),
        (["state", "replay", "count"], 3, "replay"),
        (["state", "rng"], {}, "rng"),
        (["state", "extra"], 1, "extra"),
        (["modules", "online"], {}, "online"),
        (["modules", "online", "encode.0.bias"], torch.full((4,), math.nan), "not finite"),
        (["modules", "online", "encode.0.bias"], torch.zeros(5), "shape"),
        (["modules", "optimizer", "state", 0, "exp_avg"], torch.zeros(1), "exp_avg"),
        (["modules", "optimizer", "param_groups"], [], "param_groups"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_left(tmp_path, trained, capsys, path, value, message):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    saved = read(tmp_path / "checkpoint.pt")
    saved["state"]["iteration"] = 4
    spoil(saved, path, value)
    write(tmp_path / "checkpoint.pt", saved)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert run(tmp_path) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "checkpoint.pt" in error
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_success_is_not_said_of_a_file_that_is_not_there(tmp_path, trained, capsys):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    assert run(tmp_path) == 0
    (tmp_path / "best.pt").unlink()
    assert run(tmp_path) == 2
    assert "best.pt: there is no such file; put it back" in capsys.readouterr().err


def test_what_diverges_is_not_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(misical.Run, "validate", lambda self: math.nan)
    assert run(tmp_path) == 2
    assert "smaller learning_rate" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.pt"))


def test_a_full_disk_leaves_what_was_written(tmp_path, trained, capsys, monkeypatch):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoint.pt").unlink()
    before = (tmp_path / "best.pt").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert run(tmp_path) == 2
    assert "cannot be written (No space left on device); make room" in capsys.readouterr().err
    assert (tmp_path / "best.pt").read_bytes() == before


def test_files_that_hold_no_policy(tmp_path):
    path = tmp_path / "best.pt"
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2**20)}, buffer)
    with zipfile.ZipFile(buffer) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in plain.infolist():
            packed.writestr(part.filename, plain.read(part.filename))
    bomb = {"small": []}
    for _ in range(40):
        bomb = {"a": bomb, "b": bomb}
    with pytest.raises(ValueError, match=r"best\.pt cannot be read .it is compressed"):
        make_policy(f"ralis:{path}")
    for content in (torch.zeros(3), bomb, {"a": torch.zeros(1).expand(10**12)}):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"best\.pt cannot be read"):
            make_policy(f"ralis:{path}")


@pytest.mark.parametrize("agent", AGENTS)
def test_missing_damaged_and_foreign_files_are_named(tmp_path, trained, agent):
    path, whole = tmp_path / "best.pt", (PRETRAINED / ONES[agent]).read_bytes()
    with pytest.raises(ValueError, match=r"best\.pt: there is no such file"):
        make_policy(f"{agent}:{path}")
    for part in (0, 10, len(whole) // 2):
        path.write_bytes(whole[:part])
        with pytest.raises(ValueError, match=r"best\.pt cannot be read"):
            make_policy(f"{agent}:{path}")
    others = [PRETRAINED / name for other, name in ONES.items() if other != agent]
    for other in (trained / "checkpoint.pt", *others):
        with pytest.raises(ValueError, match=f"holds no policy of agents.{agent}"):
            make_policy(f"{agent}:{other}")


OWN = """
raise_ = {raised}
class Good:
    name, scores, oracle = {name}, {scores}, {oracle}
    def reset(self, seed): ...
    def act(self, obs, info): return 0
"""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"raised": "1 / 0"}, "ZeroDivisionError"),
        ({"raised": "= ="}, "SyntaxError"),
        ({"raised": "exit(3)"}, "SystemExit"),
        ({"name": "5"}, "name=5: expected a string"),
        ({"name": "''"}, "name='': expected a string of at least 1"),
        ({"scores": "'bald'"}, "scores='bald': expected a list"),
        ({"scores": "[1]"}, r"scores\[0\]=1"),
        ({"oracle": "True"}, "without a method 'attach'"),
    ],
)
def test_policies_of_users(tmp_path, monkeypatch, changes, message):
    module = f"own_{tmp_path.name}"
    usual = {"raised": "0", "name": "'good'", "scores": "()", "oracle": "False"}
    (tmp_path / f"{module}.py").write_text(OWN.format(**{**usual, **changes}))
    monkeypatch.syspath_prepend(tmp_path)
    if message is None:
        assert make_policy(f"{module}:Good").name == "good"
    else:
        with pytest.raises(ValueError, match=message):
            make_policy(f"{module}:Good")


def test_nothing_is_called_that_is_no_policy(monkeypatch):
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *_: pytest.fail("called"))
    for spec in ("subprocess:Popen", "os:system", "code:interact", "lookahead:", "", ":", "a:", "lookahed:best.pt"):
        with pytest.raises(ValueError, match=r"policy|agent"):
            make_policy(spec)


def test_an_interrupt_during_imports_is_silent():
    script = "import sys, os, signal; sys.argv[0] = '-m'; import agents; os.kill(os.getpid(), signal.SIGINT); print(1)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
