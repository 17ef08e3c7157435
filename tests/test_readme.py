"""The README's examples run as they stand, with fewer updates."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
SCRIPT, REST = BLOCKS[0].split("model = bb.wrap", 1)  # a user's own script, and what training adds to it
OWN_TASK, USE = BLOCKS[2].split("trained = bb.fit", 1)


def run(text, names):
    text = re.sub(r"updates=\d+", "updates=2, progress=False", text)
    few = r'bb.check(\1, only=["transcription", "constraints"], progress=False)'  # what needs no training
    text = re.sub(r"bb\.check\((trained, (?:Hold\(\)|dt=.*? \* ms))\)", few, text)
    exec(compile(text, "<README.md>", "exec"), names)
    return names


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return run(SCRIPT, {"__name__": "readme"})


def test_first_example_trains_and_writes_back(script):
    before = np.array(script["rec"].w_[:])
    names = run("model = bb.wrap" + REST, script)
    trained, rec = names["trained"], names["rec"]
    assert len(trained.history["loss"]) == 2
    assert np.array_equal(rec.w_[:], np.asarray(trained.values[f"{rec.name}.w"]))
    assert not np.array_equal(rec.w_[:], before)
    assert Path("my_network.safetensors").is_file() and Path("report.html").is_file()
    assert float(names["net"].t) == pytest.approx(0.75)


def test_one_constant_in_three_lines(script):
    assert len([line for line in BLOCKS[1].split("\n") if re.match(r"\w", line)]) == 3
    names = run(BLOCKS[1], script)
    tau_syn = float(names["cells"].namespace["tau_syn"])
    assert 0.005 < tau_syn < 0.1
    assert tau_syn != 0.02


def test_own_task_is_a_task():
    import brian2

    import brianbridge as bb

    task = run(OWN_TASK, {"bb": bb, "ms": brian2.ms})["Hold"]()
    assert isinstance(task, bb.tasks.Task)
    trials = task.trials(1, 6, 1 * brian2.ms)
    assert trials.inputs["stimulus"].shape == (750, 6, 4)
    assert task.score(trials.targets, trials).all()
    assert not task.score(-trials.targets, trials).any()


def test_own_task_is_trained_and_checked(script):
    names = run("model = bb.wrap" + REST.split("trained = ")[0], script)
    run(OWN_TASK + "trained = bb.fit" + USE, names)
    assert names["trained"].task == "hold"
    assert Path("hold.html").is_file()


def test_a_published_model_is_trained():
    import brian2

    import brianbridge as bb

    trained = run(BLOCKS[3], {"bb": bb, "mV": brian2.mV})["trained"]
    assert len(trained.history["loss"]) == 2
