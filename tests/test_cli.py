"""The command line: one JSON object with --json, and an exit status for every outcome."""

import errno
import json
import subprocess
import sys

import pytest

import brianbridge
from brianbridge import tasks
from brianbridge.cli import check, compare, main, models, reproduce, show, task, timescales
from brianbridge.model.files import load_model
from brianbridge.trained.network import Trained


def answer(capsys, *arguments, status=0):
    """The JSON object that a command prints."""
    assert main([*arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def text(capsys, *arguments, status=0):
    assert main(list(arguments)) == status
    printed = capsys.readouterr()
    return printed.out if status == 0 else printed.err


# -- the command itself -------------------------------------------------------------------------------


def test_version_and_help(capsys):
    assert text(capsys, "--version").split() == ["brianbridge", brianbridge.__version__]
    assert "exit status" in text(capsys, "--help")


@pytest.mark.parametrize("module", [check, compare, models, reproduce, show, task, timescales])
def test_help_of_every_command_shows_an_example(module, capsys):
    name = module.__name__.rpartition(".")[2]
    assert f"example:\n  brianbridge {name}" in text(capsys, name, "--help")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["show"],
        ["task", "x", "--steps", "3"],
        ["models", "--", "more"],
        ["--nonsense"],
    ],
)
def test_wrong_usage(arguments, capsys):
    assert text(capsys, *arguments, status=64).startswith("brianbridge: ")
    if arguments and "--" not in arguments:
        assert "error" in answer(capsys, *arguments, status=64)


def test_an_error_of_ours_is_one_line(monkeypatch, capsys):
    def fail(arguments):
        raise KeyError("inside\nof it")

    monkeypatch.setattr(models, "carry_out", fail)
    message = text(capsys, "models", status=70)
    assert message.count("\n") == 1 and "report" in message
    assert "KeyError" in answer(capsys, "models", status=70)["error"]
    monkeypatch.setenv("BRIANBRIDGE_DEBUG", "1")
    assert "Traceback" in text(capsys, "models", status=70)


def test_torch_is_not_imported_to_show_things():
    code = """
import sys
from brianbridge.cli import main
for arguments in (["models"], ["task", "context_integration"], ["show", "li2020"]):
    assert main(arguments) == 0
    assert "torch" not in sys.modules, arguments
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""


# -- models, show, task -------------------------------------------------------------------------------


def test_models(capsys):
    names = [model["name"] for model in answer(capsys, "models")["models"]]
    assert "li2020" in names
    assert "li2020" in text(capsys, "models")


def test_show_model_by_name_and_by_path(capsys):
    document = answer(capsys, "show", "li2020")
    assert document["kind"] == "model" and len(document["hash"]) == 64
    cells = next(group for group in document["groups"] if group["name"] == "cells")
    assert cells["n"] == 400 and cells["threshold"] == "v > theta"
    tau = cells["values"]["tau_m"]
    assert tau["unit"] == "ms" and 5 <= tau["low"] < tau["high"] <= 50
    trained = {entry["name"]: entry for entry in document["trained"]}
    assert trained["cells.tau_m"]["bounds"] == {"low": 5.0, "high": 50.0, "unit": "ms"}
    path = next(model["file"] for model in answer(capsys, "models")["models"] if model["name"] == "li2020")
    shown = text(capsys, "show", path)
    assert "dv/dt" in shown and "5 to 50 ms" in shown


def test_show_trained_network(capsys, tmp_path):
    history = {"loss": [3.0, 2.0, 2.5], "accuracy": [0.4, 0.9, 0.8], "validated": [None, None, None]}
    trained = Trained(
        load_model("li2020", cells=8),
        task="context_integration",
        arguments={"delay": "0 ms"},
        inputs={"stimulus": "stimulus"},
        output="out.o",
        history=history,
        manifest={"training": {"seed": 1}},
    )
    path = trained.save(tmp_path / "trained.safetensors")
    document = answer(capsys, "show", str(path))
    assert document["kind"] == "trained network" and document["hash"] == trained.hash
    assert document["task"] == {"name": "context_integration", "arguments": {"delay": "0 ms"}}
    assert document["history"]["loss"] == {
        "updates": 3,
        "first": 3.0,
        "last": 2.5,
        "lowest": 2.0,
        "highest": 3.0,
    }
    shown = text(capsys, "show", str(path))
    assert "task: context_integration (delay = 0 ms)" in shown and "cells: 8 neurons" in shown


def test_show_what_is_not_there_or_damaged(capsys, tmp_path):
    assert "Did you mean 'li2020'" in text(capsys, "show", "li202", status=65)
    damaged = tmp_path / "trained.safetensors"
    damaged.write_bytes(b"not a network")
    assert "not a trained network" in answer(capsys, "show", str(damaged), status=65)["error"]
    broken = tmp_path / "broken.toml"
    broken.write_text("[groups.cells\n")
    assert "broken.toml" in text(capsys, "show", str(broken), status=65)
    assert "missing" in text(capsys, "show", str(tmp_path / "missing.safetensors"), status=65)


def test_task_with_a_picture(capsys, tmp_path):
    picture = tmp_path / "trials.png"
    document = answer(capsys, "task", "context_integration", "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    names = ["stream 0", "stream 1", "context 0", "context 1"]
    assert document["inputs"] == {"stimulus": {"channels": 4, "names": names}}
    assert document["steps"] == 750 and document["epochs"]["stimulus"] == [300, 450]
    assert "context" in document["conditions"]
    assert "750 steps" in text(capsys, "task", "context_integration")


def test_a_picture_is_whole_or_not_there(capsys, tmp_path, monkeypatch):
    picture = tmp_path / "trials.svg"
    picture.write_text("an older one")

    def full(file, content):
        file.write_bytes(content[:10])
        if content:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("brianbridge.atomic_files._write_through", full)
    assert "No space left" in text(capsys, "task", "context_integration", "--plot", str(picture), status=65)
    assert picture.read_text() == "an older one" and list(tmp_path.iterdir()) == [picture]


def test_list_of_tasks(capsys):
    listed = answer(capsys, "task", "--list")["tasks"]
    assert len({entry["name"] for entry in listed}) == 17
    assert any(entry["preset"] == "kim2019" and entry["variant"] == "DMS, training" for entry in listed)
    assert "parametric_working_memory" in text(capsys, "task", "--list")


@pytest.mark.parametrize("name", [name for name in tasks.names() if name not in ("digits", "neurogym")])
def test_every_task_is_described(capsys, name):
    document = answer(capsys, "task", name)
    assert document["outputs"] in (1, 2) and document["answer"] and document["epochs"]
    assert document["answer"] in text(capsys, "task", name)


@pytest.mark.parametrize("name", ["perceptual_decision", "oscillation", "temporal_xor"])
def test_tasks_are_drawn(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    document = answer(capsys, "task", name, "--plot", "--seed", "4")
    assert document["plot"] == f"{name}.png"
    assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_a_version_with_changes(capsys, tmp_path):
    picture = tmp_path / "trials.png"
    options = ["--preset", "kim2019", "--set", "delay=100 ms", "--set", "bound=0.9"]
    document = answer(capsys, "task", "delayed_match", *options, "--out", str(picture))
    assert document["arguments"]["bound"] == 0.9 and document["arguments"]["sample"] == "250 ms"
    assert document["dt"] == 0.005 and document["epochs"]["delay"] == [100, 120]
    assert picture.exists()
    coarse = answer(capsys, "task", "delayed_match", *options, "--dt", "10")
    assert coarse["dt"] == 0.01 and coarse["epochs"]["delay"] == [50, 60]


def test_task_that_cannot_be_shown(capsys, tmp_path):
    assert "context_switch" in text(capsys, "task", "contxt", status=64)
    assert "--list" in text(capsys, "task", status=64)
    assert "did you mean 'delay'" in text(capsys, "task", "delayed_match", "--set", "dellay=3", status=64)
    assert "NAME=VALUE" in text(capsys, "task", "delayed_match", "--set", "delay", status=64)
    assert "no preset 'kim'" in text(capsys, "task", "delayed_match", "--preset", "kim", status=64)
    assert "does not divide" in text(capsys, "task", "delayed_match", "--dt", "0.7", status=64)
    assert "npm pack" in text(capsys, "task", "digits", "--set", f"folder={tmp_path}", status=64)
    nowhere = str(tmp_path / "nowhere" / "trials.png")
    assert "nowhere" in text(capsys, "task", "context_integration", "--plot", nowhere, status=65)
    odd = str(tmp_path / "trials.odd")
    assert "png" in text(capsys, "task", "context_integration", "--plot", odd, status=65)
