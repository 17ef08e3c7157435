"""A training that is interrupted goes on as if it had not been."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from brian2 import ms
from safetensors.numpy import load_file, save_file
from small_training import LONG, Sign, columns, fit, lif_surrogate, parameters

import brianbridge as bb
from brianbridge import atomic_files
from brianbridge.training import CheckpointError, Patience, TensorBoard
from brianbridge.training.checkpoints import Checkpoint
from brianbridge.training.interruption import undisturbed
from brianbridge.training.logs import CSVLog


@pytest.fixture(scope="module")
def uninterrupted():
    surrogate = lif_surrogate()
    return fit(surrogate, **LONG), parameters(surrogate)


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint.safetensors"
    script = Path(__file__).with_name("small_training.py")
    process = subprocess.Popen([sys.executable, str(script), str(path)], stderr=subprocess.PIPE)
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.1))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    reached = len(Checkpoint.load(path).named("history")["loss"])
    assert 0 < reached < LONG["updates"], process.stderr.read().decode()[-2000:]

    surrogate = lif_surrogate()
    resumed = fit(surrogate, checkpoint=path, **LONG)
    assert parameters(surrogate) == uninterrupted[1]
    assert columns(resumed) == columns(uninterrupted[0])
    assert resumed.hash == uninterrupted[0].hash
    assert resumed.history["seconds"] == sorted(resumed.history["seconds"])


def test_frozen_parameters_are_part_of_what_goes_on(tmp_path):
    path, surrogate = tmp_path / "second stage.safetensors", lif_surrogate()
    fit(surrogate, updates=2)
    surrogate.freeze("rec.w")
    fit(surrogate, checkpoint=path, updates=2)
    fit(surrogate, checkpoint=path, updates=3)
    anew = lif_surrogate()
    anew.freeze("rec.w")  # but with the values of before the first stage
    with pytest.raises(CheckpointError, match="another training: frozen"):
        fit(anew, checkpoint=path, updates=3)


def test_interrupted_between_step_and_validation_nothing_is_lost(tmp_path, uninterrupted, monkeypatch):
    path, score, calls = tmp_path / "checkpoint.safetensors", Sign.score, []

    def interrupted(task, output, trials):
        calls.append(1)
        if len(calls) == 11:  # ten updates, one validation after the fifth: the second validation
            raise KeyboardInterrupt
        return score(task, output, trials)

    monkeypatch.setattr(Sign, "score", interrupted)
    surrogate = lif_surrogate()
    first = fit(surrogate, checkpoint=path, **(LONG | dict(save_every=100)))
    assert first.manifest["training"]["ended_by"] == "interrupt"
    monkeypatch.undo()
    again = fit(surrogate, checkpoint=path, **LONG)  # in the same session
    assert columns(again) == columns(uninterrupted[0])
    assert parameters(surrogate) == uninterrupted[1]


def test_ctrl_c_waits_until_a_step_is_whole():
    done, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        done.append(1)
    assert done and signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "optimiser",
    [torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad],
    ids=lambda optimiser: optimiser.__name__,
)
def test_any_optimiser_goes_on_where_it_was(tmp_path, optimiser):
    path = tmp_path / "checkpoint.safetensors"
    whole, resumed = lif_surrogate(), lif_surrogate()
    settings = dict(optimiser=optimiser, learning_rate={"rec.w": 0.1})
    fit(whole, updates=4, **settings)
    fit(lif_surrogate(), updates=2, checkpoint=path, **settings)
    fit(resumed, updates=4, checkpoint=path, **settings)
    assert parameters(whole) == parameters(resumed)


def test_compiled_it_goes_on_to_the_same_bits_too(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    whole, resumed = lif_surrogate(backend="compiled"), lif_surrogate(backend="compiled")
    fit(whole, updates=6)
    for updates in (1, 3, 6):
        fit(resumed, updates=updates, checkpoint=path)
    assert parameters(whole) == parameters(resumed)


def test_what_has_ended_does_not_go_on(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    settings = dict(stop={"loss": 1e9}, checkpoint=path)
    fit(lif_surrogate(), **settings)
    before = path.read_bytes()
    assert len(fit(lif_surrogate(), **settings).history["loss"]) == 1
    assert path.read_bytes() == before
    more = fit(lif_surrogate(), updates=3, checkpoint=path)  # which may be asked for, by another rule
    assert len(more.history["loss"]) == 3


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path, written = tmp_path / "checkpoint.safetensors", []
    write = atomic_files._write_through

    def full(partial, content):
        written.append(1)
        if len(written) > 2:
            partial.write_bytes(content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(partial, content)

    monkeypatch.setattr(atomic_files, "_write_through", full)
    surrogate = lif_surrogate()
    says = "still holds update 4, and the surrogate the parameters after 6 updates .No space left"
    with pytest.raises(OSError, match=says) as error:
        fit(surrogate, save_every=2, checkpoint=path)
    assert error.value.errno == errno.ENOSPC
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    monkeypatch.undo()
    whole = lif_surrogate()
    fit(whole, updates=8)
    fit(surrogate, updates=8, checkpoint=path)
    assert parameters(surrogate) == parameters(whole)


def test_not_a_number_keeps_what_was_good(tmp_path):
    path, calls = tmp_path / "checkpoint.safetensors", []

    def loss(output, target, mask):
        calls.append(1)
        return ((output - target) ** 2).mean() * (float("nan") if len(calls) in (4, 5) else 1.0)

    surrogate, good = lif_surrogate(), lif_surrogate()
    says = "loss became nan in update 4.*parameters of before this update.*holds update 2"
    with pytest.raises(FloatingPointError, match=says):
        fit(surrogate, loss=loss, checkpoint=path, save_every=2)
    fit(good, loss=lambda output, target, mask: ((output - target) ** 2).mean(), updates=3)
    assert parameters(surrogate) == parameters(good)

    calls.clear()
    trained = fit(surrogate, loss=loss, skip=2)
    assert [value is None for value in trained.history["loss"]] == [False] * 3 + [True] * 2 + [False] * 3
    calls.clear()
    with pytest.raises(FloatingPointError, match="update 5.*one of 2 in succession"):
        fit(surrogate, loss=loss, skip=1)


# -- files that are something else ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def surrogate():
    """One that no refused checkpoint may change."""
    return lif_surrogate()


@pytest.fixture(scope="module")
def content(surrogate, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.safetensors"
    fit(surrogate, updates=2, checkpoint=path)
    return path.read_bytes()


@pytest.fixture
def checkpoint(content, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "settings, says",
    [
        (dict(learning_rate=0.02), "learning_rates is .* there and .* here"),
        (dict(seed=6), "seed is 5 there and 6 here"),
        (dict(batch=5), "batch is 4 there and 5 here"),
        (dict(optimiser=torch.optim.SGD), 'optimiser is "Adam" there and "SGD" here'),
        (dict(loss=bb.training.mean_square), 'loss is "root_sum_square" there and "mean_square" here'),
        (dict(carry=True), "carry is false there and true here"),
    ],
)
def test_other_settings_are_named(surrogate, checkpoint, settings, says):
    with pytest.raises(CheckpointError, match=f"checkpoint of another training: {says}"):
        fit(surrogate, checkpoint=checkpoint, **settings)


def test_another_network(checkpoint):
    surrogate = lif_surrogate(dt=0.5 * ms)
    with pytest.raises(CheckpointError, match="dt is 0.001 there and 0.0005 here; model is"):
        fit(surrogate, checkpoint=checkpoint)


@pytest.mark.parametrize("kept", [0, 7, 300, -1])
def test_truncated_files(surrogate, checkpoint, kept):
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:kept])
    before = parameters(surrogate)
    with pytest.raises(CheckpointError, match="is no checkpoint of a training"):
        fit(surrogate, checkpoint=checkpoint)
    assert parameters(surrogate) == before


def test_one_flipped_bit(surrogate, checkpoint):
    content = bytearray(checkpoint.read_bytes())
    content[-3] ^= 1
    checkpoint.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="does not have the hash"):
        fit(surrogate, checkpoint=checkpoint)


def test_files_of_other_kinds(surrogate, checkpoint, tmp_path):
    trained = fit(surrogate, updates=1).save(tmp_path / "trained.safetensors")
    with pytest.raises(CheckpointError, match="a safetensors file, but no checkpoint"):
        fit(surrogate, checkpoint=trained)
    with pytest.raises(ValueError, match="stored as .safetensors files"):
        fit(surrogate, checkpoint=tmp_path / "checkpoint.pt")


def tampered(path, change):
    """Write a checkpoint again with another content, and the hash that belongs to it."""
    found = Checkpoint.load(path)
    change(found)
    found.save(path)


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda c: c.arrays.pop("parameter rec.w"), "rec.w is missing there"),
        (lambda c: c.arrays.update({"parameter rec.w": np.zeros(5)}), r"rec.w is \(5,\) there"),
        (lambda c: c.arrays.update({"parameter rec.w": np.full(4, np.nan)}), "rec.w holds NaN"),
        (lambda c: c.arrays.update({"optimiser 9 exp_avg": np.zeros(4)}), "fits no parameter"),
        (lambda c: c.arrays.update({"optimiser 0 exp_avg": np.zeros((9, 9))}), "fits no parameter"),
        (lambda c: c.arrays.pop("history loss"), "its history is not one of this version"),
        (lambda c: c.groups.pop(), "the number of parameter groups differs"),
        (lambda c: c.groups[0].update(evil="x"), "the options of the optimiser differ"),
        (lambda c: c.numbers.update({"x y": 1}), "'x y' belongs to no parameter"),
    ],
)
def test_what_a_file_holds_is_compared(surrogate, checkpoint, change, says):
    tampered(checkpoint, change)
    before = parameters(surrogate)
    with pytest.raises(CheckpointError, match=says):
        fit(surrogate, checkpoint=checkpoint)
    assert parameters(surrogate) == before


@pytest.mark.parametrize(
    "document", ["[]", "{}", '{"schema": 1}', '{"schema": 1, "text": {"settings": []}}', "x"]
)
def test_foreign_metadata(surrogate, checkpoint, document):
    save_file(load_file(checkpoint), checkpoint, {"brianbridge checkpoint": document})
    with pytest.raises(CheckpointError):
        fit(surrogate, checkpoint=checkpoint)


# -- logs -----------------------------------------------------------------------------------------------


def test_the_history_is_written_as_csv_json_and_by_functions(tmp_path):
    rows, files = [], [tmp_path / "logs" / "history.csv", tmp_path / "logs" / "history.json"]
    settings = dict(checkpoint=tmp_path / "c.safetensors", log=[*files, rows.append])
    fit(lif_surrogate(), updates=2, **settings)
    rows.clear()
    trained = fit(lif_surrogate(), updates=4, stop=Patience(9), **settings)
    assert [row["update"] for row in rows] == [1, 2, 3, 4]
    assert [row["loss"] for row in rows] == trained.history["loss"]
    table = [line.split(",") for line in files[0].read_text().splitlines()]
    assert table[0][:2] == ["update", "loss"] and len(table) == 5
    assert [float(line[1]) for line in table[1:]] == trained.history["loss"]
    assert json.loads(files[1].read_text())["loss"] == trained.history["loss"]
    with pytest.raises(ValueError, match="must end in .csv or .json"):
        fit(lif_surrogate(), log="history.txt")


def test_a_history_that_cannot_be_written(monkeypatch, tmp_path):
    def full(log, row):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CSVLog, "__call__", full)
    with pytest.raises(OSError, match="history could not be written after 1 updates .No space left"):
        fit(lif_surrogate(), log=tmp_path / "history.csv")


def test_tensorboard_where_it_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        TensorBoard(tmp_path)


def test_curves_in_tensorboard(tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = dict(checkpoint=tmp_path / "c.safetensors")
    fit(lif_surrogate(), updates=2, log=TensorBoard(tmp_path / "runs"), **settings)
    trained = fit(
        lif_surrogate(), updates=4, stop=Patience(9), log=TensorBoard(tmp_path / "runs"), **settings
    )
    curves = reading.EventAccumulator(str(tmp_path / "runs"), purge_orphaned_data=True).Reload()
    loss = curves.Scalars("loss")
    assert [point.step for point in loss] == [1, 2, 3, 4]
    np.testing.assert_allclose([point.value for point in loss], trained.history["loss"], rtol=1e-6)
