"""Timescales of trained networks, against networks whose memory is known."""

import csv
import errno
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from brian2 import ms
from remembering_network import Waiting, remembering_network

import brianbridge as bb
from brianbridge.analysis import fit_known_timescales
from brianbridge.cli import main
from brianbridge.measurement import timescales_of
from brianbridge.measurement.stationary import conditions_of, stationary_trials
from brianbridge.measurement.timescale_report import report, summary_text


@pytest.fixture(scope="module")
def found():
    """Neurons of 50 ms and of 200 ms, in trials with and without a cue."""
    tau = np.repeat([50, 200], 12)
    return bb.timescales(remembering_network(tau), Waiting(cue=0.3), 100, progress=False)


def test_neurons_have_the_timescale_of_their_input(found):
    rows = found.rows
    assert [row["neuron"] for row in rows] == list(range(24)) and {row["group"] for row in rows} == {"cells"}
    corrected = np.array([row["corrected_ms"] for row in rows])
    # thresholds shorten a timescale a little, and bins of 50 ms cannot say much below 50 ms
    assert np.nanmedian(corrected[:12]) == pytest.approx(50, rel=0.3)
    assert np.nanmedian(corrected[12:]) == pytest.approx(180, rel=0.25)
    assert all(row["included"] == (row["reason"] == "") == np.isfinite(row["published_ms"]) for row in rows)
    seen = found.summary
    assert (seen["trials"], seen["bins"], seen["bin_ms"], seen["conditions"]) == (100, 20, 50, 2)
    assert seen["included"] == sum(row["included"] for row in rows) > 18
    assert [row["trials"] for row in found.by_trials] == [25, 50, 100]
    assert found.by_trials[-1]["published_ms"] == seen["published_ms"] != found.by_trials[0]["published_ms"]


def test_a_cue_is_no_memory(found):
    mixed = replace(found, condition=np.zeros(100, dtype=int))
    assert mixed.summary["corrected_ms"] > 1.2 * found.summary["corrected_ms"]


def test_counts_are_those_of_the_raster():
    trained, epochs = remembering_network(neurons=4), np.array([[10, 410], [50, 450], [0, 390]])
    trials = Waiting(500 * ms, neurons=4).trials(1, 3, 1 * ms)
    simulated = bb.simulate(trained, replace(trials, epochs={"late": epochs}), seed=1, progress=False)
    counts = timescales_of(simulated, "late", settle=30 * ms, bin=20 * ms).counts
    raster = simulated.raster("cells").values
    assert counts.shape == (3, 18, 4) and counts.sum() > 50
    for trial, (start, _) in enumerate(epochs + 30):
        wanted = raster[start : start + 360, trial].reshape(18, 20, 4).sum(axis=1)
        assert np.array_equal(counts[trial], wanted)
    with pytest.raises(ValueError, match="has room for 3 bins of 100 ms after 30 ms"):
        timescales_of(simulated, "late", settle=30 * ms, bin=100 * ms)


def test_the_fixation_is_made_longer_and_nothing_comes_after_it():
    task = bb.tasks.ContextIntegration()
    model = bb.load("li2020", cells=4)
    trained = bb.Trained(
        model=model, task=task.name, arguments=task.arguments, inputs={"stimulus": "stimulus"}, output="out.o"
    )
    _, trials = stationary_trials(trained, None, 20, None, 700.0, seed=1)
    assert trials.steps == 700 and list(trials.epochs) == ["fixation"]
    number = conditions_of(trials)
    assert len(np.unique(number)) == 2  # what is shown is the context
    assert len(np.unique(number * 2 + trials.conditions["context"])) == 2
    _, stimulus = stationary_trials(trained, None, 80, "stimulus", 700.0, seed=1)
    assert stimulus.steps == 300 + 700
    assert len(np.unique(conditions_of(stimulus))) == 8  # inputs are noisy: context and both signs
    assert not conditions_of(stimulus[:20]).any()  # too few of each


def test_fifty_trials_read_known_timescales_short():
    few, many = (fit_known_timescales(150, n, units=60) for n in (50, 500))
    assert np.nanmedian(few.published) < 120 < 135 < np.nanmedian(many.published) < 165
    assert np.nanmedian(few.corrected) == pytest.approx(150, rel=0.2)
    none = fit_known_timescales(1, 50, spread_hz=0, units=60)
    assert none.accepted.sum() > 15 > 5 > np.isfinite(none.corrected).sum()


@pytest.fixture(autouse=True)
def few_known(monkeypatch):
    monkeypatch.setattr(sys.modules["brianbridge.measurement.timescales"], "KNOWN", (0, 150))


@pytest.mark.slow
def test_the_page_says_what_neurons_without_memory_read(found):
    noise = [row for row in found.bias if row["true_ms"] == 0]
    assert [row["trials"] for row in noise] == [50, 100]
    text = summary_text(found)
    assert f"without memory they include {noise[-1]['included']} of 100" in text
    assert "With the published 50 trials" in text
    page = report(found)
    assert len(page.tables[-1].rows) == 24 and len(page.figures[0].figure.axes) == 3
    last = found.by_trials[-1]
    assert page.tables[0].rows[-1] == list(last.values())


@pytest.fixture
def file(tmp_path):
    task = bb.tasks.ContextIntegration(fixation=5 * ms, stimulus=10 * ms, response=10 * ms)
    trained = bb.Trained(
        model=bb.load("li2020", cells=4), task=task.name, arguments=task.arguments,
        inputs={"stimulus": "stimulus"}, output="out.o",
    )  # fmt: skip
    return trained.save(tmp_path / "trained.safetensors")


def test_command_line(file, tmp_path, capsys):
    given = ["timescales", str(file), "--trials", "12", "--length", "300", "--settle", "0", "--bin", "20"]
    assert main([*given, "--out", str(tmp_path / "out"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["summary"]["neurons"] == len(answer["rows"]) == 4 and answer["summary"]["bins"] == 15
    with open(tmp_path / "out" / "neurons.csv") as table:
        written = list(csv.DictReader(table))
    assert [float(row["rate_hz"]) for row in written] == [row["rate_hz"] for row in answer["rows"]]
    assert (tmp_path / "out" / "timescales.png").stat().st_size > 1000
    assert "Known timescales" in (tmp_path / "out" / "report.html").read_text()
    assert main(given) == 0
    assert "cells 3" in capsys.readouterr().out
    for wrong, status in [
        (["--length", "60"], 64),
        (["--trials", "2"], 64),
        (["--bin", "0"], 64),
        (["--bin", "nan"], 64),
        (["--length", "-5"], 64),
        (["--epoch", "delayed"], 64),
        (["--task", "no_task"], 64),
        (["--out", "/dev/null/x"], 65),
    ]:
        assert main([*given, *wrong]) == status
        assert capsys.readouterr().err.startswith("brianbridge: ")
    assert main(["timescales", str(tmp_path / "no.safetensors")]) == 65


def test_where_the_report_cannot_be_written_nothing_is_lost(file, tmp_path, capsys, monkeypatch):
    given = ["timescales", str(file), "--trials", "12", "--length", "300", "--settle", "0", "--bin", "20"]

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("brianbridge.measurement.timescale_report.write_together", full)
        assert main([*given, "--out", str(tmp_path / "out"), "--json"]) == 65
    answer = json.loads(capsys.readouterr().out)
    assert "No space left on device" in answer["error"] and len(answer["rows"]) == 4
    monkeypatch.setattr("brianbridge.measurement.timescales", None)  # nothing is simulated
    assert main([*given, "--out", "/dev/null/x"]) == 65
    assert "cannot be written" in capsys.readouterr().err


def test_settings_are_checked_before_anything_is_simulated(monkeypatch):
    monkeypatch.setattr(sys.modules["brianbridge.measurement.timescales"], "simulate", None)
    for wrong, message in [
        (dict(trials=2), "needs three trials or more, not 2"),
        (dict(bin=0 * ms), "bin=0. s: expected a time above 0 s"),
        (dict(length=np.inf * ms), "length=inf"),
        (dict(settle=-1 * ms), "settle=-1. ms: expected a time of 0 s or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            bb.timescales(remembering_network(neurons=4), Waiting(neurons=4), **wrong, progress=False)


def test_networks_that_do_not_spike():
    task = bb.tasks.make("perceptual_decision", fixation="300*ms", baseline=0, noise=0, catch=0)
    model = bb.load("song2016", cells=4, source=2)
    trained = bb.Trained(
        model=model, task=task.name, arguments=task.arguments, inputs={"stimulus": "stimulus"}, output="out.o"
    )
    with pytest.raises(ValueError, match="No group of this network spikes"):
        bb.timescales(trained, trials=5, length=100 * ms, progress=False)


def test_torch_is_not_needed(file):
    code = f"""
import sys
from brian2 import ms, prefs
import brianbridge as bb
prefs.codegen.target = "numpy"
bb.timescales(bb.Trained.load({str(file)!r}), trials=6, length=100*ms, bin=20*ms, progress=False).summary
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
