"""The same trials on every device: same numbers, same result; what a device needs, and what it leaves."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
from brian2 import Network, NeuronGroup, Synapses, TimedArray, defaultclock, ms, prefs, start_scope
from brian2.devices.device import get_device, runtime_device

import brianbridge as bb
from brianbridge.model.files import model_names
from brianbridge.simulation import cuda, standalone
from brianbridge.simulation.job import Job
from brianbridge.tasks import Trials

STEPS, N = 60, 5


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    names = {"codegen.target": "numpy", "codegen.cpp.extra_compile_args_gcc": ["-w", "-O0", "-std=c++11"]}
    before = {name: prefs[name] for name in names}
    for name, value in names.items():
        prefs[name] = value
    yield
    for name, value in before.items():
        prefs[name] = value


def network(noise=""):
    start_scope()
    drive = TimedArray(np.zeros((STEPS, N)), dt=1 * ms)
    cells = NeuronGroup(
        N,
        f"dv/dt = (drive(t, i) - v)/tau {noise} : 1\ntau : second (constant)",
        threshold="v > 1",
        reset="v = 0",
        method="euler",
        dt=1 * ms,
        namespace={"drive": drive},
        name="cells",
    )
    cells.tau = "(5 + 2*i)*ms"
    rec = Synapses(cells, cells, "w : 1 (constant)", on_pre="v_post += w", name="rec", dt=1 * ms)
    rec.connect(condition="i != j")
    rec.w = "0.1*(1 + i) - 0.05*j"
    return bb.Trained(
        model=bb.wrap(Network(cells, rec)), inputs={"drive": "drive"}, output="cells.v", task="none"
    )


class Task:
    """Correct if neuron 0 is above 0.2 at the end, incorrect if it is below 0.1."""

    name, arguments = "any", {}

    def trials(self, rng, batch, dt):
        drive = 1 + np.random.default_rng(rng).random((STEPS, batch, N))
        epochs = {"one": np.array([[10, 30]] * batch)}
        shape = (STEPS, batch, N)
        side = {"side": np.arange(batch)}
        return Trials({"drive": drive}, np.zeros(shape), np.ones(shape), epochs, side, dt)

    def outcomes(self, output, trials):
        last = output[-1, :, 0]
        return np.where(last > 0.2, "correct", np.where(last < 0.1, "incorrect", "none"))


def same(first, second):
    for name in first.spikes:
        xarray.testing.assert_equal(first.spikes[name], second.spikes[name])
    xarray.testing.assert_allclose(first.outputs, second.outputs, rtol=1e-12)
    assert first.outputs.attrs == second.outputs.attrs and first.states.keys() == second.states.keys()
    for name in first.states:
        xarray.testing.assert_allclose(first.states[name], second.states[name], rtol=1e-12)
    assert np.array_equal(first.decisions, second.decisions)
    for before, after in zip(first.final, second.final, strict=True):
        assert before.keys() == after.keys()
        for name in before:
            assert before[name].shape == after[name].shape
            assert name.endswith("lastspike") or np.allclose(before[name], after[name], rtol=1e-12)
    assert (first.sizes, first.dt, first.steps) == (second.sizes, second.dt, second.steps)


def test_runtime_surrogate_and_standalone_take_the_same_steps():
    trained, task, temporary = network(), Task(), Path(tempfile.gettempdir())
    before = set(temporary.glob("brianbridge_*"))
    settings = dict(seed=3, record=["cells.v"], progress=False)
    brian2 = bb.simulate(trained, task, 4, **settings)
    assert brian2.spikes["cells"].sizes["spike"] > 50
    same(brian2, bb.simulate(trained, task, 4, device="surrogate", **settings))
    doubled = replace(
        trained, model=trained.model.with_values({("rec", "w"): 2 * trained.model["rec"].values["w"]})
    )
    with bb.keep_builds() as builds:
        compiled = [
            bb.simulate(network, task, 4, device="cpp_standalone", processes=2, **settings)
            for network in (trained, doubled)
        ]
        assert len(builds.networks) == 1  # compiled once, though the weights differ
        assert not list(builds.folder.glob("*/trial_*"))
    same(brian2, compiled[0])
    same(bb.simulate(doubled, task, 4, **settings), compiled[1])
    assert get_device() is runtime_device and defaultclock.dt == 0.1 * ms
    assert set(temporary.glob("brianbridge_*")) == before


@pytest.mark.slow
def test_perturbations_noise_and_seeds_in_standalone():
    trained, task = network("+ 0.2*xi*ms**-0.5"), Task()
    noise = {"cells_stateupdater/0": np.random.default_rng(1).normal(size=(STEPS, 3, N))}
    perturbation = [
        bb.perturb.clamp("cells", v=-0.5, where=bb.perturb.indices(1), during="one"),
        bb.perturb.silence("rec", bb.perturb.indices([2, 3]), during="one"),
        bb.perturb.lesion("cells", bb.perturb.indices(4), during="one"),
    ]
    settings = dict(seed=3, progress=False, perturbation=perturbation)
    brian2, compiled = (
        bb.simulate(trained, task, 3, noise=noise, device=d, **settings)
        for d in ("runtime", "cpp_standalone")
    )
    same(brian2, compiled)
    with bb.keep_builds():
        first, again, other = (
            bb.simulate(trained, task, 2, device="cpp_standalone", seed=seed, progress=False)
            for seed in (1, 1, 2)
        )
    assert np.array_equal(first.outputs, again.outputs) and not np.array_equal(first.outputs, other.outputs)
    assert not np.array_equal(first.outputs[:, 0], first.outputs[:, 1])


@pytest.mark.slow
def test_neurons_of_several_threads_have_noise_of_their_own(monkeypatch):
    monkeypatch.setitem(prefs, "devices.cpp_standalone.openmp_threads", 2)
    start_scope()
    cells = NeuronGroup(4, "dv/dt = xi*ms**-0.5 : 1", method="euler", dt=1 * ms, name="cells")
    trained = bb.Trained(model=bb.wrap(Network(cells)), inputs={}, output="cells.v", task="none")
    shape = 5, 3, 4
    trials = Trials({}, np.zeros(shape), np.ones(shape), {}, {}, 0.001)
    settings = dict(device="cpp_standalone", seed=1, progress=False)
    with bb.keep_builds():
        first, again = (bb.simulate(trained, trials, **settings).outputs.values for _ in range(2))
    assert len(np.unique(first)) == first.size
    assert np.array_equal(first, again)


@pytest.mark.slow
def test_a_compiled_network_runs_again_after_it_has_failed():
    trained, task = network(), Task()
    settings = dict(device="cpp_standalone", seed=1, progress=False)
    with bb.keep_builds() as builds:
        good = bb.simulate(trained, task, 2, **settings)
        (compiled,) = builds.networks.values()
        main = compiled.folder / "main"
        main.rename(compiled.folder / "kept")
        main.write_text("#!/bin/sh\nexit 3\n")
        main.chmod(0o755)
        with pytest.raises(RuntimeError, match="Trial 0 failed in the compiled network: 3"):
            bb.simulate(trained, task, 2, **settings)
        (compiled.folder / "kept").rename(main)
        same(good, bb.simulate(trained, task, 2, **settings))


def test_kept_builds_are_those_of_the_same_device_and_compilation():
    builds, job = standalone._Builds(Path("builds")), Job(network().model, {}, 1, 10, ("cells.v",))
    first = builds.network(job, "cpp_standalone", Path)
    assert builds.network(job, "cpp_standalone", Path) is first
    assert builds.network(job, "cuda_standalone", Path) is not first
    flags = prefs.codegen.cpp.extra_compile_args_gcc
    prefs.codegen.cpp.extra_compile_args_gcc = [*flags, "-O1"]
    try:
        assert builds.network(job, "cpp_standalone", Path) is not first
    finally:
        prefs.codegen.cpp.extra_compile_args_gcc = flags
    assert builds.network(job, "cpp_standalone", Path) is first


def test_what_comes_back_has_named_axes_and_units():
    found = bb.simulate(network(), Task(), 3, dt=0.5 * ms, record=["cells.tau"], progress=False)
    assert found.outputs.dims == ("time", "trial", "output") and found.outputs.shape == (STEPS, 3, N)
    tau = found.states["cells.tau"]
    assert tau.dims == ("time", "trial", "neuron") and tau.attrs["units"] == "s"
    assert tau.shape == (2 * STEPS, 3, N) and float(tau.time[3]) == pytest.approx(0.0015)
    assert set(found.decisions.values) <= {"correct", "incorrect", "no response"}
    spikes = found.spikes["cells"]
    assert np.allclose(spikes.time, spikes.step * 0.0005)
    assert found.raster("cells").sum() == spikes.sizes["spike"]


def test_neo_round_trip():
    found = bb.simulate(network(), Task(), 2, seed=1, record=["cells.tau"], progress=False)
    block = found.to_neo()
    assert [segment.annotations["decision"] for segment in block.segments] == found.decisions.values.tolist()
    for trial, segment in enumerate(block.segments):
        assert segment.annotations["side"] == trial
        raster = np.zeros((STEPS, N), dtype=bool)
        for train in segment.spiketrains:
            steps = np.rint(train.rescale("ms").magnitude).astype(int)
            raster[steps, train.annotations["neuron"]] = True
        assert np.array_equal(raster, found.raster("cells", trial))
        output, *_, tau = segment.analogsignals
        assert np.array_equal(output.magnitude, found.outputs[:, trial])
        assert np.array_equal(tau.rescale("s").magnitude, found.states["cells.tau"][:, trial])
        (epoch,) = segment.epochs
        assert epoch.labels.tolist() == ["one"] and epoch.times.rescale("ms").magnitude == pytest.approx([10])


def test_another_integrator():
    trained, task = network(), Task()
    drive = np.full((STEPS, 1, N), 0.9)
    trials = replace(task.trials(1, 1, 1 * ms), inputs={"drive": drive})
    euler, rk4 = (
        bb.simulate(trained, trials, method=m, progress=False).outputs[:, 0].values for m in (None, "rk4")
    )
    exact = 0.9 * (1 - np.exp(-np.arange(1, STEPS + 1)[:, None] / (5 + 2 * np.arange(N))))
    assert np.abs(rk4 - exact).max() < 1e-5 < 1e-3 < np.abs(euler - exact).max()
    with pytest.raises(ValueError, match="rec: no group of this name has differential equations"):
        bb.simulate(trained, trials, method={"rec": "rk4"}, progress=False)


def test_refusals(monkeypatch):
    trained, task = network(), Task()
    trials = task.trials(1, 2, 1 * ms)

    def refused(match, *arguments, **settings):
        with pytest.raises((ValueError, standalone.DeviceMissing), match=match):
            bb.simulate(trained, *arguments, progress=False, **settings)

    refused("choose 'runtime', 'cpp_standalone'", trials, device="numpy")
    refused("processes= is for device='cpp_standalone'", trials, processes=2)
    refused("none of the built-in tasks: hand it over")
    refused("draw them with dt=1", task.trials(1, 2, 0.5 * ms))
    with pytest.raises(ValueError, match="hand it over"):
        bb.simulate(trained, trials, progress=False).decisions  # noqa: B018
    monkeypatch.setenv("PATH", "")
    refused("g.. and make cannot be found. Install them", trials, device="cpp_standalone")
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None)
    refused(r"pip install -e '.\[cuda\]'", trials, device="cuda_standalone")
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: True)
    refused("install the CUDA toolkit", trials, device="cuda_standalone")


def test_an_interrupted_simulation_leaves_nothing(monkeypatch):
    trained, task, temporary = network(), Task(), Path(tempfile.gettempdir())
    before = set(temporary.glob("brianbridge_*"))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(standalone.CompiledNetwork, "_compile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bb.simulate(trained, task, 2, device="cpp_standalone", progress=False)
    assert get_device() is runtime_device
    assert set(temporary.glob("brianbridge_*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_every_model_file_compiles_for_cuda(name, tmp_path):
    try:
        cuda.check_compiler()
    except standalone.DeviceMissing as missing:
        pytest.skip(str(missing))
    model = bb.load(name)
    record = next(f"{g.name}.{v}" for g in model.groups if hasattr(g, "events") for v in g.values)
    job = Job(model=model, inputs={}, trials=1, steps=10, record=(record,))
    compiled = cuda.compile_network(job, tmp_path / "build")
    assert os.access(compiled.folder / "main", os.X_OK)
