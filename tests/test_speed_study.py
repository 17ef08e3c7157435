"""The benchmark of studies/speed: records, resuming, and reasons where there are no numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[1] / "studies" / "speed"


def measure(out, *options):
    command = [sys.executable, str(STUDY / "run.py"), "--tiny", "--out", str(out), "--threads", "1", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {record["implementation"]: record for record in json.loads(out.read_text())}


def test_measures_says_why_not_and_resumes(tmp_path):
    out = tmp_path / "results.json"
    records = measure(out, "--workload", "shared_decay", "--implementations", "eager,edge_list")
    eager, edge_list = records["eager"], records["edge_list"]
    assert eager["workload"] == "shared_decay" and (eager["n"], eager["t"], eager["batch"]) == (20, 50, 2)
    assert eager["update_ms"] > 0 and eager["spread"] >= 0 and eager["updates"] >= 5
    assert eager["peak_mb"] >= eager["base_mb"] > 0 and eager["threads"] == 1
    assert 0 < eager["rate_hz"] < 100 and eager["gradient_norm"] > 0 and "torch" in eager["versions"]
    assert edge_list["update_ms"] is None and "see eager" in edge_list["reason"]
    table = out.with_suffix(".md").read_text()
    assert "## shared_decay: n=20, t=50, batch=2" in table and edge_list["reason"] in table

    again = measure(out, "--workload", "shared_decay", "--implementations", "eager,brian2_cpp")
    assert again["eager"] == eager and again["edge_list"] == edge_list  # kept, not measured again
    assert "no gradients" in again["brian2_cpp"]["reason"]


TOO_LARGE = """
from processes import Failed, Process
from workloads import Point

try:
    Process("eager", Point("synaptic_decay", n=100, t=200, batch=50), 1, 1.0, 60).ask("update")
except Failed as failure:
    print(failure)
"""


@pytest.mark.slow
def test_too_little_memory_is_a_reason():
    done = subprocess.run([sys.executable, "-c", TOO_LARGE], cwd=STUDY, capture_output=True, text=True)
    assert "out of memory" in done.stdout, done.stderr[-2000:]
