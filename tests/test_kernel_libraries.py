"""Compiled libraries, and the choice of the back end: what is kept, made anew, and left to PyTorch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from brian2 import *

from brianbridge.kernels import compiler
from brianbridge.surrogate import backends
from brianbridge.surrogate.module import Surrogate
from brianbridge.surrogate.spike_gradients import CustomGradient, FastSigmoid
from tests.agreement.differentiation import trained

RECORD = ["cells.v", "cells"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache of its own, after the compiler was tried."""
    assert not compiler.obstacle()
    monkeypatch.setenv("BRIANBRIDGE_CACHE", str(tmp_path))
    return tmp_path / "brianbridge" / "kernels"


@pytest.fixture
def commands(monkeypatch):
    """Calls of the compiler."""
    calls, run = [], compiler._run

    def counting(*command):
        calls.append(command)
        run(*command)

    monkeypatch.setattr(compiler, "_run", counting)
    return calls


def network(n=4, extra="", **options):
    cells = NeuronGroup(
        n,
        f"dv/dt = (drive - v{extra})/tau : 1\ndrive : 1 (constant)\ntau : second (constant)",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        name="cells",
        **options,
    )
    cells.drive, cells.tau, cells.v = "1.2 + 0.3*rand()", "(3 + rand())*ms", "rand()"
    rec = Synapses(cells, cells, "w : 1 (constant)", on_pre="v_post += w", name="rec")
    rec.connect(condition="i != j")
    rec.w = "0.1*rand()"
    return Network(cells, rec)


def model_of(n=4, **options):
    return trained(network(n, **options), ("cells", "drive"), ("rec", "w"))


def simulate(surrogate, steps=20, **options):
    records = surrogate(duration=steps * surrogate.dt, record=RECORD, **options)
    if records["cells.v"].requires_grad:
        (records["cells.v"] ** 2).mean().backward()
    return records


def states(surrogate, **options):
    return simulate(surrogate, **options)["cells.v"].detach()


# -- libraries ------------------------------------------------------------------------------------------


def test_a_library_is_made_once(folder, commands):
    model = model_of()
    first = states(Surrogate(model, backend="compiled"))
    assert len(commands) == 2 and len(list(folder.iterdir())) == 1  # compiled, and linked
    assert torch.equal(states(Surrogate(model, backend="compiled")), first)
    assert len(commands) == 2


@pytest.mark.parametrize("kept", [0, 100, 0.1, 0.5, 0.999])
def test_a_corrupt_library_is_made_anew(kept, folder, tmp_path, monkeypatch):
    answer(42)
    (library,) = folder.iterdir()
    content = library.read_bytes()
    # at another path, since the file of this one is loaded already
    monkeypatch.setenv("BRIANBRIDGE_CACHE", str(tmp_path / "other"))
    copy = tmp_path / "other" / "brianbridge" / "kernels" / library.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    assert answer(42) == 42
    assert copy.stat().st_size == len(content)


def test_changed_bytes_are_noticed(folder, tmp_path, monkeypatch, commands):
    answer(42)
    (library,) = folder.iterdir()
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    monkeypatch.setenv("BRIANBRIDGE_CACHE", str(tmp_path / "other"))
    copy = tmp_path / "other" / "brianbridge" / "kernels" / library.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(content)
    assert answer(42) == 42 and len(commands) == 4


def answer(number):
    """What a small library says."""
    table = f"double table[5000] = {{{number}}};"
    return int(compiler.library(f"{table} int answer(void) {{ return table[0]; }}", single=False).answer())


def test_processes_that_start_at_once(folder, script):
    path = script(
        """from brianbridge.kernels import compiler
print(compiler.library("int answer(void) { return 42; }", single=True).answer())"""
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    arguments = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    running = [subprocess.Popen([sys.executable, path], **arguments) for _ in range(4)]
    assert [process.communicate(timeout=60) for process in running] == [("42\n", "")] * 4
    assert [file.suffix for file in folder.iterdir()] == [".so"]


def test_another_process_finds_the_kernel(folder, script):
    """Python hashes text in another way in each process, so that sets have another order."""
    path = script(
        """import brianbridge as bb
for name in ("li2020", "adex"):
    surrogate = bb.Surrogate(bb.load(name, cells=10, seed=1), backend="compiled")
    surrogate(duration=surrogate.dt)
"""
    )
    made = []
    for seed in "12":
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, path], env=environment, check=True, timeout=300)
        made.append(sorted(file.name for file in folder.iterdir()))
    assert len(made[0]) >= 2 and made[1] == made[0]


def test_values_and_sizes_change_without_compiling(folder, commands):
    model = model_of()
    surrogate = Surrogate(model, FastSigmoid(width=0.3), backend="compiled")
    simulate(surrogate)
    compiled = len(commands)
    initial = {"cells.v": 0.3}
    for options in (dict(steps=31), dict(batch=3), dict(steps=2, batch=11), dict(initial=initial)):
        simulate(surrogate, **options)
    with torch.no_grad():
        for raw in surrogate.named_values().values():
            raw.mul_(1.1)
    simulate(surrogate)
    simulate(Surrogate(model, FastSigmoid(width=0.3), segment=5, backend="compiled"), batch=2)
    simulate(Surrogate(model, FastSigmoid(width=0.7, height=0.1), backend="compiled"))
    simulate(Surrogate(surrogate.trained_model(), FastSigmoid(width=0.3), backend="compiled"))
    assert len(commands) == compiled


@pytest.mark.parametrize("n", [4, 20])
def test_the_time_step_changes_without_compiling(n, folder, commands):
    found = {}
    for dt in (0.1, 0.25):
        defaultclock.dt = dt * ms
        found[dt] = states(Surrogate(model_of(n), FastSigmoid(width=0.3), backend="compiled"))
    assert len(commands) == 2
    assert not torch.equal(found[0.1], found[0.25])


def test_the_number_of_neurons_changes_without_compiling(folder, commands):
    for n in (20, 30):
        simulate(Surrogate(model_of(n), FastSigmoid(width=0.3), backend="compiled"))
    assert len(commands) == 2


def test_delays_change_without_compiling(folder, commands):
    for delay in (0.3, 1.2):
        net = network()
        net["rec"].delay = delay * ms
        simulate(Surrogate(trained(net, ("rec", "w")), FastSigmoid(width=0.3), backend="compiled"))
    assert len(commands) == 2


def test_other_precision_and_other_equations_are_compiled(folder, commands):
    simulate(Surrogate(model_of(), backend="compiled"))
    simulate(Surrogate(model_of(), backend="compiled", dtype=torch.float64))
    simulate(Surrogate(model_of(extra=" + 0.1*v**2"), backend="compiled"))
    assert len(commands) == 6 and len(list(folder.iterdir())) == 3


def test_the_oldest_libraries_go(folder, monkeypatch):
    monkeypatch.setattr(compiler, "KEPT", 3)
    folder.mkdir(parents=True)
    for number in range(6):
        (folder / f"{number}.so").write_text("")
        os.utime(folder / f"{number}.so", (number, number))
    simulate(Surrogate(model_of(), backend="compiled"))
    kept = {path.name for path in folder.iterdir()}
    assert len(kept) == 3 and {"4.so", "5.so"} < kept


def test_two_processes_forget_the_same_libraries(folder, monkeypatch):
    """One is gone when the other looks at how old it is: as a link to nowhere is."""
    monkeypatch.setattr(compiler, "KEPT", 1)
    folder.mkdir(parents=True)
    (folder / "gone.so").symlink_to(folder / "nowhere")
    simulate(Surrogate(model_of(), backend="compiled"))
    assert len(list(folder.glob("*.so"))) == 1


def test_a_library_that_is_used_is_not_old(folder, monkeypatch):
    model = model_of()
    simulate(Surrogate(model, backend="compiled"))
    (library,) = folder.iterdir()
    os.utime(library, (1, 1))
    simulate(Surrogate(model, backend="compiled"))
    assert library.stat().st_mtime > 1000


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BRIANBRIDGE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(compiler.tempfile, "gettempdir", lambda: str(tmp_path))
    assert torch.isfinite(states(Surrogate(model_of(), backend="compiled"))).all()
    assert list(tmp_path.glob("brianbridge-*/kernels/*.so"))


@pytest.fixture
def unwritable(tmp_path, monkeypatch):
    """A cache that is there but takes no files, and an empty folder for temporary ones."""
    (tmp_path / "brianbridge").mkdir()
    (tmp_path / "brianbridge" / "kernels").symlink_to("/proc/self/fdinfo")
    monkeypatch.setenv("BRIANBRIDGE_CACHE", str(tmp_path))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(compiler.tempfile, "tempdir", str(temporary))
    yield temporary
    compiler._private_folder.cache_clear()


needs_proc = pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="no /proc")


@needs_proc
def test_a_cache_that_takes_no_files(unwritable):
    assert answer(42) == 42
    (folder,) = unwritable.iterdir()
    assert folder.name == f"brianbridge-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.glob("kernels/*.so"))) == 1


@needs_proc
@pytest.mark.parametrize("planted", ["writable", "link", "foreign"])
def test_temporary_libraries_of_other_users_are_not_loaded(planted, unwritable, monkeypatch):
    folder = unwritable / f"brianbridge-{os.getuid()}"
    if planted == "link":
        (unwritable / "elsewhere").mkdir()
        folder.symlink_to(unwritable / "elsewhere")
    else:
        folder.mkdir()
    if planted == "writable":
        folder.chmod(0o777)
    if planted == "foreign":
        own = os.getuid()
        folder = folder.rename(unwritable / f"brianbridge-{own + 1}")
        monkeypatch.setattr(compiler.os, "getuid", lambda: own + 1)
    assert answer(42) == 42
    assert not list(folder.iterdir())
    (private,) = (path for path in unwritable.iterdir() if path.name not in (folder.name, "elsewhere"))
    assert private.stat().st_mode & 0o777 == 0o700 and list(private.glob("kernels/*.so"))


# -- compilers that fail, or are not there --------------------------------------------------------------


@pytest.fixture
def untried():
    """Find the compiler anew, and try it anew."""
    kept = compiler.compiler, compiler.obstacle, compiler._machine
    for found in kept:
        found.cache_clear()
    yield
    for found in kept:
        found.cache_clear()


def test_a_kernel_on_which_a_compiler_fails_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "--no-such-option"))
    with pytest.raises(RuntimeError, match=r"(?s)C compiler .* failed.*backend='eager'.*no-such-option"):
        simulate(Surrogate(model_of()))
    assert not list(folder.iterdir())


def test_a_compiler_that_fails_on_everything(folder, untried, said, monkeypatch):
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "--no-such-option"))
    surrogate = Surrogate(model_of())
    assert surrogate.backend == "eager"
    assert torch.isfinite(states(surrogate)).all()
    (line,) = said
    assert "a small C program cannot be compiled" in line and "--no-such-option" in line
    with pytest.raises(ValueError, match="backend='compiled' is not possible: a small C program cannot be"):
        Surrogate(model_of(), backend="compiled")


def test_a_compiler_that_cannot_be_run(untried, said, script, monkeypatch):
    path = script("no program", "cc")
    path.chmod(0o755)
    monkeypatch.setenv("CC", str(path))
    assert Surrogate(model_of()).backend == "eager"
    assert len(said) == 1


def test_the_compiler_is_tried_once(folder, untried, commands):
    for _ in range(3):
        Surrogate(model_of())
    assert len(commands) == 4  # compiled and linked for either precision
    compiler.obstacle.cache_clear()
    Surrogate(model_of())
    assert len(commands) == 4


@pytest.fixture
def no_compiler(untried, monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)


@pytest.fixture
def said(monkeypatch):
    """Lines for the user, also those that were logged once before."""
    lines = []
    monkeypatch.setattr(backends.logger, "info", lambda line, **options: lines.append(line))
    return lines


def test_without_a_compiler_pytorch_takes_the_steps(no_compiler, said):
    model = model_of()
    surrogate = Surrogate(model)
    assert surrogate.backend == "eager"
    assert torch.equal(states(surrogate), states(Surrogate(model, backend="eager")))
    (line,) = said
    assert "no C compiler was found" in line and "tens of times slower" in line
    with pytest.raises(ValueError, match="backend='compiled' is not possible: no C compiler was found"):
        Surrogate(model, backend="compiled")


def test_the_compiler_of_the_environment(untried, monkeypatch):
    def found(named, **others):
        for name, value in {"CC": named, **others}.items():
            monkeypatch.setenv(name, value)
        compiler.compiler.cache_clear()
        return compiler.compiler()

    fallback = found("no-such-compiler -O2")
    assert len(fallback) == 1
    assert found(f"{fallback[0]} -O2") == (*fallback, "-O2")
    assert found("a 'quotation") == fallback
    assert found("", PATH="") is None


def test_the_whole_command_of_the_environment_is_run(untried, folder, script, monkeypatch):
    """Such as CC="ccache gcc", which starts a compiler that is named after it."""
    (real,) = compiler.compiler()
    starter = script('#!/bin/sh\necho "$1" >> "$0.log"\nexec "$@"\n', "starter")
    starter.chmod(0o755)
    monkeypatch.setenv("CC", f"{starter} {real}")
    compiler.compiler.cache_clear()
    assert answer(42) == 42
    assert set(starter.with_name("starter.log").read_text().split()) == {real}


# -- what is left to PyTorch ----------------------------------------------------------------------------


def test_unknown_back_ends():
    with pytest.raises(ValueError, match="backend='fast' is not one of 'compiled' and 'eager'"):
        Surrogate(model_of(), backend="fast")


@pytest.mark.parametrize("option", ["exact", "smooth"])
def test_modes_that_run_in_pytorch(option):
    model, options = model_of(), {option: True, "dtype": torch.float64}
    with pytest.raises(
        ValueError, match=f"backend='compiled' is not possible: {option}=True runs in PyTorch"
    ):
        Surrogate(model, FastSigmoid(width=0.3), backend="compiled", **options)
    assert Surrogate(model, FastSigmoid(width=0.3), **options).backend == "eager"


def assert_left_to_pytorch(model, gradient, says, said):
    """With a reason where the compiled back end is insisted on, otherwise with the same results."""
    with pytest.raises(ValueError, match=says):
        simulate(Surrogate(model, gradient, backend="compiled"))
    found = {}
    for backend in (None, "eager"):
        surrogate = Surrogate(model, gradient, backend=backend)
        found[backend] = simulate(surrogate, seed=1), surrogate.named_values()
        assert surrogate.backend == "eager"
    (ours, values), (theirs, expected) = found.values()
    for name in RECORD:
        assert torch.equal(ours[name], theirs[name])
    for name in expected:
        assert torch.equal(values[name].grad, expected[name].grad)
    (line,) = said
    assert "PyTorch takes the steps" in line


def test_spike_gradients_of_ones_own(said):
    gradient = CustomGradient(lambda x: torch.exp(-x.abs()), width=0.2)
    assert_left_to_pytorch(model_of(), gradient, "cannot take this network: .* is written for PyTorch", said)


def test_functions_of_ones_own(said):
    @implementation("torch", lambda x: x * torch.tanh(x))
    @check_units(x=1, result=1)
    def tanh_times_x(x):
        return x * np.tanh(x)

    net = network(extra=" + 0.1*tanh_times_x(v)")
    model = trained(net, ("cells", "drive"), ("rec", "w"), namespace={"tanh_times_x": tanh_times_x})
    says = "cannot take this network: .* is written for PyTorch"
    assert_left_to_pytorch(model, FastSigmoid(width=0.3), says, said)
