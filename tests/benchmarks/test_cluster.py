"""Jobs on a Ray cluster of two nodes: equal to those of this machine, and a killed worker costs its job alone."""

import os
import signal
import time
from functools import partial

import pytest

from agents.episode import Episode
from benchmarks import cluster
from benchmarks.jobs import Job
from benchmarks.leaderboard.__main__ import Args, main

SUITE = """
env = "RegionSelect-v0"
seeds = 2
splits = ["holdout"]
policies = ["random", "entropy"]
[kwargs]
segmenter = "lda"
budget = 16
picks = 8
"""


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    (tmp_path / "small.toml").write_text(SUITE)
    assert main(Args((tmp_path / "small.toml",), out=tmp_path / "out", jobs=1, backend="ray")) == 2
    assert "pip install 'alenv[ray]'" in capsys.readouterr().err


@pytest.fixture
def two_nodes():
    pytest.importorskip("ray", reason="pip install 'alenv[ray]' to run on a cluster")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield nodes.address
    nodes.shutdown()


def kill_oneself():
    os.kill(os.getpid(), signal.SIGKILL)


def take(seconds, text):
    time.sleep(seconds)
    return text


@pytest.mark.slow
def test_a_killed_worker_costs_its_job_alone(two_nodes, tmp_path):
    makes = {"a": partial(take, 1, "A"), "b": kill_oneself, "c": partial(take, 0, "C"), "d": partial(int, "no number")}
    jobs = [Job(name, tmp_path / f"{name}.jsonl", make, str) for name, make in makes.items()]
    cluster.check_cluster(two_nodes)
    failures = sorted(failure for failure in cluster.on_cluster(jobs) if failure)
    assert [failure.split(":")[0] for failure in failures] == ["b failed", "d failed"]
    assert "no number" in failures[1]
    assert {path.name: path.read_text() for path in tmp_path.glob("*.jsonl")} == {"a.jsonl": "A", "c.jsonl": "C"}


@pytest.mark.slow
def test_results_are_those_of_this_machine(two_nodes, tmp_path):
    (tmp_path / "small.toml").write_text(SUITE)
    args = {"here": {"jobs": 2}, "cluster": {"backend": "ray", "address": two_nodes}}
    for name, how in args.items():
        assert main(Args((tmp_path / "small.toml",), out=tmp_path / name, **how)) == 0
    here, there = (played(tmp_path / name) for name in args)
    assert here == there
    assert len(here) == 4
    same = [(tmp_path / name / "leaderboard.md").read_text().split("ms per pick")[0] for name in args]
    assert same[0] == same[1]


def played(out):
    """The episodes of a run by file, without the time that they took."""
    episodes = {path.name: Episode.from_json(path.read_text()) for path in out.glob("episodes/*/*.jsonl")}
    return {name: {**vars(episode), "seconds": None} for name, episode in episodes.items()}
