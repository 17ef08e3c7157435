"""Full disks, two processes in one place, killed processes, hostile text: clear errors, nothing lost."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import ms, mV
from small_training import fit, lif_surrogate, parameters

import brianbridge as bb
from brianbridge.checks import LADDER, mutants, options, reproduce, running
from brianbridge.checks.context import Sizes
from brianbridge.checks.finding import Finding, NotRun
from brianbridge.checks.reproduction import ReportFileError
from brianbridge.cli import main
from brianbridge.file_locks import InUse, alone_with
from brianbridge.model.files import ModelFileError
from brianbridge.simulation import standalone


@pytest.fixture(scope="module")
def trained():
    task = bb.tasks.ContextIntegration(fixation=10 * ms, stimulus=100 * ms, response=30 * ms)
    return bb.Trained(
        model=bb.load("li2020", cells=10, seed=3),
        task="context_integration",
        arguments=dict(task.arguments),
        inputs={"stimulus": "stimulus"},
        output="out.o",
    )


@pytest.fixture
def file(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(options.LADDERS, "quick", Sizes(trials=2, few=1, refinements=(1,), full=False))
    return trained.save(tmp_path / "trained.safetensors")


def partial_files(folder):
    return [path.name for path in Path(folder).rglob("*") if path.suffix in (".partial", ".lock")]


# -- no space on the disk -----------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)]
    try:
        done = subprocess.run(mounted, capture_output=True)
    except OSError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder, left=0):
    """Leave this many bytes."""
    with open(folder / "fill", "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(file.tell() - left)


def test_a_trained_network_on_a_full_disk(trained, small_disk):
    path = small_disk / "trained.safetensors"
    trained.save(path)
    before = path.read_bytes()
    fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        trained.save(path)
    assert path.read_bytes() == before and not partial_files(small_disk)


def test_a_checkpoint_on_a_full_disk(small_disk):
    path = small_disk / "checkpoint.safetensors"
    surrogate, whole = lif_surrogate(), lif_surrogate()
    fit(surrogate, updates=2, checkpoint=path)
    before = path.read_bytes()
    fill(small_disk, left=len(before) // 2)
    with pytest.raises(OSError, match="still holds update 2, and the surrogate the parameters after 4"):
        fit(surrogate, updates=4, checkpoint=path)
    assert path.read_bytes() == before
    (small_disk / "fill").unlink()
    fit(surrogate, updates=6, checkpoint=path)
    fit(whole, updates=6)
    assert parameters(surrogate) == parameters(whole) and not partial_files(small_disk)


def test_a_check_on_a_full_disk(file, small_disk, capsys):
    out = small_disk / "out"
    fill(small_disk, left=24 * 1024)  # a finding fits, the report with its figures does not
    arguments = ["check", str(file), "--only", "convergence,constraints", "--out", str(out)]
    assert main(arguments) == 65
    said = capsys.readouterr().err
    assert "out cannot be written to (No space left on device)" in said and "make room" in said
    assert not partial_files(out) and not list(out.glob("report.*"))
    assert list((out / "rungs").iterdir())
    (small_disk / "fill").unlink()
    assert main(arguments) == 0
    assert (out / "report.html").exists() and not partial_files(out)


def compiled_network(folder):
    """A network as it is after its compilation, of which each trial fails."""
    program = object.__new__(standalone.CompiledNetwork)
    program.folder, program.inputs, program.noise = folder, {"drive": "drive"}, {}
    program.model = SimpleNamespace(groups=())
    (folder / "main").write_text("#!/bin/sh\nexit 3\n")
    (folder / "main").chmod(0o755)
    return program


def trials_of(steps):
    drive = {"drive": np.zeros((steps, 1, 1))}
    model = SimpleNamespace(groups=())
    return SimpleNamespace(trials=1, inputs=drive, noise={}, initial={}, seed=None, model=model)


@pytest.mark.parametrize("steps", [1, 100_000])  # the second does not fit
def test_standalone_trials_on_a_full_disk(small_disk, steps):
    program = compiled_network(small_disk)
    with pytest.raises(OSError, match="No space left in .*disk, where networks are compiled") as raised:
        program.run(trials_of(steps), 1, False)
    assert raised.value.errno == errno.ENOSPC


def test_a_network_is_compiled_on_a_full_disk(small_disk):
    def build(**_):
        raise RuntimeError("Project compilation failed (error code: 1)")

    with pytest.raises(OSError, match="set TMPDIR") as raised:
        compiled_network(small_disk)._compile(SimpleNamespace(build=build))
    assert raised.value.errno == errno.ENOSPC


def test_other_failures_of_standalone_are_told_as_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="Trial 0 failed in the compiled network: 3"):
        compiled_network(tmp_path).run(trials_of(1), 1, False)


@pytest.mark.parametrize("command", ["perturb", "timescales"])
def test_a_full_disk_is_no_error_of_ours(file, capsys, monkeypatch, command):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left in /tmp")

    monkeypatch.setattr("brianbridge.perturb.outcomes", full)
    monkeypatch.setattr("brianbridge.measurement.timescales", full)
    given = ["--action", "silence rec"] if command == "perturb" else []
    assert main([command, str(file), *given]) == 65
    assert "No space left in /tmp" in capsys.readouterr().err


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(file, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["check", str(file), "--only", "constraints", "--out", str(tmp_path / "out")]) == 65
    assert "cannot be written" in capsys.readouterr().err


def test_a_file_where_the_folder_should_be(file, tmp_path, capsys):
    assert main(["check", str(file), "--only", "constraints", "--out", str(file)]) == 65
    assert "cannot be written" in capsys.readouterr().err
    assert bb.Trained.load(file)


def test_a_rung_on_a_full_disk_is_not_run_and_not_kept(trained, tmp_path, monkeypatch):
    def full(context):
        raise OSError(28, "No space left on device")

    ladder = tuple(replace(r, measure=full) if r.key == "constraints" else r for r in LADDER)
    monkeypatch.setattr(running, "LADDER", ladder)
    report = bb.check(trained, only=["constraints"], out=tmp_path, progress=False)
    (found,) = [check for check in report.checks if check.name.startswith("Values")]
    assert found.verdict == "not run" and "the disk is full" in found.reason and not report.data.get("errors")
    monkeypatch.undo()
    report = bb.check(trained, only=["constraints"], out=tmp_path, progress=False)
    assert not report.failures and report.counts()["pass"] == 1


# -- what is missing ----------------------------------------------------------------------------------


def test_what_was_missing_is_tried_again(trained, tmp_path, monkeypatch):
    """A compiler may have been installed in the meantime."""

    def missing(context):
        raise NotRun("no C++ compiler was found")

    ladder = tuple(replace(r, measure=missing) if r.key == "constraints" else r for r in LADDER)
    monkeypatch.setattr(running, "LADDER", ladder)
    bb.check(trained, only=["constraints"], out=tmp_path, progress=False)
    monkeypatch.undo()
    assert bb.check(trained, only=["constraints"], out=tmp_path, progress=False).counts()["pass"] == 1


# -- wrong units, and too much ------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [0.1, 3 * mV, 0 * ms, -1 * ms, [1, 2] * ms, float("nan") * ms])
def test_what_is_no_time_step(trained, dt):
    for refuse in (
        lambda: bb.simulate(trained, trials=2, dt=dt, progress=False),
        lambda: trained.network(dt=dt),
    ):
        with pytest.raises(ValueError, match=r"dt=.*write for example dt=0.5\*ms"):
            refuse()


def test_units_of_a_check_and_of_constants(trained, tmp_path):
    with pytest.raises(bb.checks.CheckOptionError, match=r"not in seconds; write dt=\[1, 0.1\]\*ms"):
        bb.check(trained, dt=[1, 2] * mV, progress=False)
    path = tmp_path / "net.toml"
    path.write_text('[constants]\nk = "5*ms + 3*mV"\n[groups.cells]\nn = 1\nmodel = "v : 1"')
    with pytest.raises(ModelFileError, match=r"constants.k: '5\*ms \+ 3\*mV': .*units do not match"):
        bb.load(path)


def test_trials_that_no_memory_holds(capsys):
    assert main(["task", "context_integration", "--set", "delay=1e9 second"]) == 64
    assert "delay=1*Gsecond takes more than 100,000,000 steps" in capsys.readouterr().err


# -- two processes in one place -----------------------------------------------------------------------


HOLD = """
import sys, time
from brianbridge.file_locks import alone_with
with alone_with(sys.argv[1], sys.argv[2]):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holding():
    """Start a process that works on a file."""
    processes = []

    def hold(path, what):
        command = [sys.executable, "-c", HOLD, str(path), what]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "held\n"
        return processes[-1]

    yield hold
    for process in processes:
        process.kill()
        process.wait()


def test_two_checks_in_one_folder(file, tmp_path, holding, capsys):
    out = tmp_path / "out"
    other = holding(out / "report.html", "check")
    arguments = ["check", str(file), "--only", "constraints", "--out", str(out)]
    assert main(arguments) == 65
    said = capsys.readouterr().err
    assert "report.html is in use by another check" in said and "another place" in said
    other.kill()  # which cannot clean up
    other.wait()
    assert main(arguments) == 0 and not partial_files(out)


def test_two_trainings_with_one_checkpoint(tmp_path, holding):
    path = tmp_path / "checkpoint.safetensors"
    fit(lif_surrogate(), updates=2, checkpoint=path)
    before = path.read_bytes()
    other = holding(path, "training")
    with pytest.raises(InUse, match="in use by another training"):
        fit(lif_surrogate(), updates=4, checkpoint=path)
    assert path.read_bytes() == before
    fit(lif_surrogate(), updates=2, checkpoint=tmp_path / "other.safetensors")
    other.kill()
    other.wait()
    assert len(fit(lif_surrogate(), updates=4, checkpoint=path).history["loss"]) == 4
    assert not partial_files(tmp_path)


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), alone_with(tmp_path / "a", "test"):
        with pytest.raises(InUse), alone_with(tmp_path / "a", "test"):
            pass
        raise ZeroDivisionError
    with alone_with(tmp_path / "a", "test"):
        pass
    assert not list(tmp_path.iterdir())


# -- terminated and killed ----------------------------------------------------------------------------


COMPILE = """
import sys, time
from brianbridge.model.files import ModelFileError
from brianbridge.simulation import standalone
with standalone.keep_builds() as builds:
    (builds.folder / "program.cpp").write_text("half of it")
    print(builds.folder, flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize(
    "ended_by",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        signal.SIGKILL,
    ],
)
def test_an_ended_simulation_leaves_no_folder(tmp_path, monkeypatch, ended_by):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", COMPILE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    folder = Path(process.stdout.readline().strip())
    assert folder.is_dir() and folder.parent == tmp_path
    process.send_signal(ended_by)
    process.wait()
    if ended_by == signal.SIGKILL:
        assert folder.exists()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with standalone.keep_builds() as builds:  # the next one cleans up, and leaves alone what is in use
            assert builds.folder.exists() and not folder.exists()
            with standalone.keep_builds() as inner:
                assert builds.folder.exists() and inner.folder.exists()
    assert not list(tmp_path.glob("brianbridge*"))  # Brian2 itself leaves a log where it is killed


CHECK = """
import sys, time
from dataclasses import replace
from brianbridge.checks import options, running
from brianbridge.checks.context import Sizes
from brianbridge.cli import main
options.LADDERS["quick"] = Sizes(trials=2, few=1, refinements=(1,), full=False)
def slow(context):
    print("measuring", flush=True)
    time.sleep(100)
ladder = tuple(replace(r, measure=slow) if r.key == "constraints" else r for r in running.LADDER)
running.LADDER = ladder
sys.exit(main(["check", sys.argv[1], "--out", sys.argv[2], "--only", "convergence,constraints"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_an_ended_check_goes_on(file, tmp_path, ended_by):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", CHECK, str(file), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "measuring\n", process.stderr.read()
    process.send_signal(ended_by)
    said = process.communicate()[1]
    if ended_by == signal.SIGTERM:
        assert process.returncode == 128 + ended_by and "brianbridge: terminated" in said
        assert not partial_files(out)
    (kept,) = (out / "rungs").iterdir()
    assert kept.name.endswith("convergence.json")
    report = bb.check(file, only=["constraints"], out=out, progress=False)
    assert not report.failures and not partial_files(out)


TRAIN = """
import sys
sys.path.insert(0, sys.argv[2])
from small_training import fit, lif_surrogate
fit(lif_surrogate(), checkpoint=sys.argv[1], updates=100_000, save_every=100_000,
    log=lambda row: row["update"] == 3 and print("training", flush=True))
"""


@pytest.mark.slow
def test_a_terminated_training_saves_what_it_has(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    command = [sys.executable, "-c", TRAIN, str(path), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "training\n", process.stderr.read()
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    surrogate, whole = lif_surrogate(), lif_surrogate()
    from brianbridge.training.checkpoints import Checkpoint

    reached = len(Checkpoint.load(path).named("history")["loss"])
    assert reached >= 3
    fit(surrogate, updates=reached + 2, checkpoint=path)
    fit(whole, updates=reached + 2)
    assert parameters(surrogate) == parameters(whole)


def test_handlers_of_the_user_stay(tmp_path):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    try:
        with standalone.keep_builds():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        assert seen
    finally:
        signal.signal(signal.SIGTERM, before)
    with standalone.keep_builds():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


# -- reports of other models --------------------------------------------------------------------------


def test_reports_of_other_models_are_reproduced(file, trained, tmp_path, capsys):
    out, other = tmp_path / "out", mutants.dale(trained.model)
    before = bb.load("li2020", cells=10, seed=8)
    bb.check(file, only=["constraints"], out=out, model=other, untrained=before, progress=False)
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == [
        *("model.safetensors", "report.html", "report.json", "untrained.safetensors"),
    ]
    again = reproduce(out / "report.json", progress=False)
    assert again.agrees and again.report.failures
    capsys.readouterr()
    (out / "model.safetensors").unlink()
    assert main(["reproduce", str(out / "report.json")]) == 65
    assert (
        "made with model=..., a model that is not beside it in model.safetensors" in capsys.readouterr().err
    )
    assert reproduce(out / "report.json", model=other, progress=False).agrees
    bb.Trained(model=before).save(out / "model.safetensors")  # another one under its name
    with pytest.raises(ReportFileError, match=r"reproduce\('report.json', model=\.\.\.\)"):
        reproduce(out / "report.json", progress=False)
    with pytest.raises(ReportFileError, match="model= was given, but .* was made with another one"):
        reproduce(out / "report.json", model=before, progress=False)


# -- hostile text -------------------------------------------------------------------------------------


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2066\u200b\r\x08\x00\U000e0041\ud800"
OBEYED = set(HOSTILE) - set("owned0;[]2J31mgnp")


def assert_harmless(text):
    assert not set(text) & OBEYED


def test_hostile_text_does_not_reach_the_terminal(trained, tmp_path, capsys):
    texts = dict(task=HOSTILE, arguments={HOSTILE: HOSTILE}, history={HOSTILE: [1.0]})
    model = replace(trained.model, source=HOSTILE)
    path = replace(trained, model=model, **texts).save(tmp_path / "trained.safetensors")
    assert main(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert_harmless(shown)
    assert r"source: \x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp" in shown
    assert main(["show", str(path), "--json"]) == 0
    shown = capsys.readouterr().out
    assert_harmless(shown)
    assert json.loads(shown)["source"] == HOSTILE
    assert main(["check", str(path), "--out", str(tmp_path / "out")]) == 65
    assert_harmless(capsys.readouterr().err)
    model_file = tmp_path / "net.toml"
    escapes = r'"\u001B[2J \u202E \u0007"'
    model_file.write_text(f'source = {escapes}\n[groups.cells]\nn = 1\nmodel = "v : 1"')
    assert main(["show", str(model_file)]) == 0
    assert_harmless(capsys.readouterr().out)
    model_file.write_text(f"[groups.{escapes}]\nn = {escapes}")
    assert main(["show", str(model_file)]) == 65
    assert_harmless(capsys.readouterr().err)
    assert main(["show", f"{tmp_path}/\x1b[2J.toml"]) == 65
    assert_harmless(capsys.readouterr().err)


@pytest.mark.slow
def test_findings_that_are_no_findings_are_made_anew(trained, tmp_path):
    bb.check(trained, only=["convergence"], out=tmp_path, progress=False)
    (path,) = (tmp_path / "rungs").iterdir()
    kept = json.loads(path.read_text())
    sound = path.read_text()
    for change in (
        dict(verdict="splendid"),
        dict(data=3),
        dict(data={"errors": {"a": 1}}),
        dict(tables=[{}]),
    ):
        path.write_text(json.dumps(kept | {"finding": kept["finding"] | change}))
        report = bb.check(trained, only=["convergence"], out=tmp_path, progress=False)
        assert report.counts()["pass"] == 1 and path.read_text() == sound
    assert np.isfinite(Finding.from_dict(kept["finding"]).data["slopes"]["cells.v"])
