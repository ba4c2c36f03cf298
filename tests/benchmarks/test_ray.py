"""A Ray cluster of two nodes: episodes equal those of this machine, and a killed worker costs its own alone."""

import json
import os
import signal
import sys
import threading
import time
from functools import partial

import pytest

from benchmarks.jobs import Job
from benchmarks.leaderboard.__main__ import Args, main
from benchmarks.ray_cluster import on_ray

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SUITE = """\
env = "RegionSelect-v0"
seeds = 2
splits = ["test"]
policies = ["random", "entropy"]
[kwargs]
pool = "eval"
budget = 4
picks = 2
segmenter = "lda"
"""


@pytest.fixture(scope="module")
def address():
    """Of a cluster with one CPU on each of two nodes."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


def records(out):
    """The episodes of a run, without the time that they took."""
    files = sorted(out.rglob("episodes/*/*.json*"))
    return {str(f.relative_to(out)): [json.loads(line) | {"seconds": 0} for line in f.open()] for f in files}


def test_results_equal_those_of_this_machine(address, tmp_path):
    suite = tmp_path / "tiny.toml"
    suite.write_text(SUITE)
    for out, more in (("here", {}), ("there", {"backend": "ray", "address": address})):
        assert main(Args(suite=(suite,), out=tmp_path / out, jobs=2, **more)) == 0
    assert len(records(tmp_path / "here")) == 4
    assert records(tmp_path / "here") == records(tmp_path / "there")


def wait(path, end):
    """Say on which node and in which process it runs, and wait until it may end."""
    path.write_text(json.dumps([ray.get_runtime_context().get_node_id(), os.getpid()]))
    while not end.exists():
        time.sleep(0.05)
    return "done"


def started(path):
    until = time.monotonic() + 120
    while not path.exists() or not path.read_text():
        assert time.monotonic() < until, "no worker started"
        time.sleep(0.05)
    return json.loads(path.read_text())


def test_a_killed_worker_costs_its_job_alone(address, tmp_path):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers have no tests
    end, said = tmp_path / "end", []
    jobs = [Job(f"job {i}", tmp_path / f"{i}.jsonl", partial(wait, tmp_path / f"{i}.pid", end), str) for i in range(4)]
    running = threading.Thread(target=lambda: said.extend(on_ray(address)(jobs, 2)))
    running.start()
    (node, pid), (other, _) = (started(tmp_path / f"{i}.pid") for i in (0, 1))
    assert node != other
    os.kill(pid, signal.SIGKILL)
    end.touch()
    running.join()
    assert len(said) == 4
    [lost] = filter(None, said)
    assert lost.startswith("job 0 failed: WorkerCrashedError")
    assert sorted(path.name for path in tmp_path.glob("*.json*")) == ["1.jsonl", "2.jsonl", "3.jsonl"]


def test_a_cluster_that_is_not_there_is_refused(tmp_path, capsys):
    ray.shutdown()
    suite = tmp_path / "tiny.toml"
    suite.write_text(SUITE)
    arguments = {"suite": (suite,), "out": tmp_path / "out", "jobs": 1, "backend": "ray"}
    assert main(Args(**arguments, address="127.0.0.1:1")) == 2
    assert "no Ray cluster answers" in capsys.readouterr().err
