"""The study of reduced networks: what study.toml says, a tiny point end to end, resuming, errors."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import brianbridge as bb

STUDY = Path(__file__).parents[1] / "studies" / "small"

TINY = """
[{system}.tiny]
model = "{model}"
sizes = {{ cells = 10{more} }}
seed = 1
{state}
task = {task}

[{system}.tiny.training]
updates = 2
batch = 2
stop = {{ accuracy = 0.0 }}
validation = {{ trials = 2, every = 2 }}
{training}

[{system}.tiny.brian2]
trials = 2
dt = "0.5*ms"
same_trials = 2

[{system}.tiny.criterion]
text = "none"
dt = "0.5*ms"
accuracy = [0.0, 1.0]
margin = 0.0
"""
SPIKING = TINY.format(
    system="li2020", model="li2020", more="", state="",
    task='{ name = "context_integration", fixation = "20*ms", stimulus = "20*ms", response = "20*ms" }',
    training='spike_gradient = { kind = "box", width = "25*mV" }',
)  # fmt: skip
RATES = (
    TINY.format(
        system="song2016", model="song2016", more=", source = 2", state='state = "cells.r"',
        task='{ name = "perceptual_decision", stimulus = "100*ms", baseline = 0, noise = 0, catch = 0 }',
        training='vanishing_gradient = { state = "cells.x", weights = "rec.w" }',
    )
    + """
[song2016.tiny.psychometric]
coherences = [0, 51.2]
trials = 2
"""
)  # fmt: skip


def run(folder, text, *options):
    study = folder / "study.toml"
    study.write_text(text)
    (folder / "brian_preferences").write_text('codegen.target = "numpy"')  # tiny networks: nothing to compile
    command = [sys.executable, str(STUDY / "run.py"), "--study", str(study), "--out", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_tiny_points_run_end_to_end(tmp_path):
    done = run(tmp_path, SPIKING + RATES)
    assert done.returncode == 0, done.stderr[-2000:]
    found = results(tmp_path)
    assert set(found) == {"li2020", "song2016"}
    for system in found.values():
        assert system["agreement"] is True and system["reached"] is True
        tiny = system["tiny"]
        assert tiny["updates"] == 2 and tiny["cells"] == 10 and tiny["seed"] == 1
        assert tiny["same_trials"]["differing_bins"] == 0 and tiny["same_trials"]["parameters_read_back"]
        assert tiny["same_trials"]["largest_difference"] <= 1e-9
        where = [(row["where"], row["dt_ms"]) for row in tiny["accuracy"]]
        assert [place for place, _ in where] == ["surrogate", "Brian2", "Brian2"] and where[2][1] == 0.5
        assert all(row["interval"][0] <= row["accuracy"] <= row["interval"][1] for row in tiny["accuracy"])
    assert found["li2020"]["tiny"]["same_trials"]["spikes"] > 0
    curve = found["song2016"]["tiny"]["psychometric"]
    assert curve["coherence"] == [-51.2, 0, 51.2] and curve["trials"] == [2, 4, 2]
    assert (tmp_path / "out" / "psychometric.png").exists()
    assert bb.Trained.load(tmp_path / "out" / "li2020.tiny" / "trained.safetensors").values


@pytest.mark.slow
def test_an_interrupted_training_goes_on_and_other_settings_start_anew(tmp_path):
    assert run(tmp_path, SPIKING).returncode == 0
    before = results(tmp_path)["li2020"]["tiny"]
    (tmp_path / "results.json").unlink()
    assert run(tmp_path, SPIKING).returncode == 0
    assert results(tmp_path)["li2020"]["tiny"] == before  # to the second: nothing was run
    (tmp_path / "out" / "li2020.tiny" / "record.json").unlink()  # killed after the training
    resumed = run(tmp_path, SPIKING)
    assert resumed.returncode == 0 and results(tmp_path)["li2020"]["tiny"] == before
    other = run(
        tmp_path, SPIKING.replace("updates = 2", "updates = 1").replace("accuracy = 0.0", "rmse = 0.0")
    )
    tiny = results(tmp_path)["li2020"]["tiny"]
    assert other.returncode == 1 and tiny["updates"] == 1
    assert tiny["reached"] is False and tiny["ended_by"] == "number of updates"


@pytest.mark.parametrize(
    "written, instead, point, message",
    [
        ("batch = 2", "bacth = 2", "li2020.tiny.training", "'bacth' is not known (it says bacth = 2)"),
        (
            "updates = 2",
            'updates = "two"',
            "li2020.tiny.training",
            "updates = 'two' should be a whole number",
        ),
        ('model = "li2020"', 'model = "li2202"', "li2020.tiny", "no model 'li2202'. Did you mean 'li2020'?"),
        ('fixation = "20*ms"', 'fixatoin = "20*ms"', "li2020.tiny", "no argument 'fixatoin'"),
        ('dt = "0.5*ms"', 'dt = "0.5 msec"', "li2020.tiny", "'0.5 msec'"),
        ('kind = "box"', 'kind = "bax"', "li2020.tiny.training", "'bax'"),
        ("accuracy = 0.0 }", "acuracy = 0.0 }", "li2020.tiny.training", "'acuracy'"),
        ("margin = 0.0", "", "li2020.tiny.criterion", "'margin' is missing"),
    ],
)
def test_errors_name_the_point_and_quote_the_text(tmp_path, monkeypatch, written, instead, point, message):
    monkeypatch.syspath_prepend(str(STUDY))
    from learning import check
    from study import StudyError, about, read_study

    path = tmp_path / "study.toml"
    path.write_text(SPIKING.replace(written, instead))
    with pytest.raises(StudyError) as raised:
        for name, each in read_study(path).items():
            with about(f"{name}.training"):
                check(each.training)
    assert f"[{point}]" in str(raised.value) and message in str(raised.value)


def test_the_study_is_valid_and_holds_what_was_promised(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    from learning import check
    from study import model_of, read_study

    points = read_study(STUDY / "study.toml")
    assert {name.partition(".")[0] for name in points} >= {"li2020", "song2016", "adex", "hodgkin_huxley"}
    for point in points.values():
        check(point.training)
        assert model_of(point).dt > 0


def test_results_belong_to_the_study():
    found = json.loads((STUDY / "results.json").read_text())
    systems = tomllib.loads((STUDY / "study.toml").read_text())
    assert set(found) == set(systems)
    for system, points in systems.items():
        assert set(points) <= set(found[system]) and found[system]["agreement"] is True
