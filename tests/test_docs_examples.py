"""The examples of the pages in docs/ run as they stand, one after the other, with few trials and updates."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.tasks import kinds

matplotlib.use("agg")
DOCS = Path(__file__).parents[1] / "docs"
EQUATIONS = """
dv/dt = (v_rest - v + 500*Mohm*(I_syn + I_in))/tau_m : volt
dI_syn/dt = -I_syn/tau_syn : amp
dr/dt = -r/(50*ms) : 1
I_in : amp
tau_m : second (constant)
area : integer (constant)
"""
SHORT = dict(fixation=5 * ms, stimulus=10 * ms, delay=5 * ms, response=10 * ms)
ELSEWHERE = {"analysis.md", "kernels.md"}  # in test_analysis_docs.py; and what is generated, to be read


def blocks(page, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


def run(page, names, less=None):
    """Execute the examples of a page and return all names; `less` says what is replaced to be quick."""
    text = blocks(page)
    for old, new in (less or {}).items():
        assert old in "".join(text), f"{page} holds no {old!r}"
        text = [block.replace(old, new) for block in text]
    everything = {}
    exec("from brian2 import *", everything)
    everything |= dict(bb=bb, torch=torch, **names)
    for block in text:
        exec(compile(block, page, "exec"), everything)
    return everything


def network(inputs=4, steps=30):
    names = dict(v_rest=-70 * mV, tau_syn=20 * ms, stim=TimedArray(np.zeros((steps, inputs)), dt=1 * ms))
    source = NeuronGroup(inputs, "u = stim(t, i) : 1", namespace=names, name="source")
    cells = NeuronGroup(
        40,
        EQUATIONS,
        threshold="v > -50*mV",
        reset="v = -65*mV; r += 1",
        namespace=names,
        method="euler",
        name="cells",
    )
    cells.v, cells.tau_m, cells.area = -70 * mV, 20 * ms, "i // 20"
    w_in = Synapses(
        source, cells, "w : amp\nI_in_post = w*u_pre : amp (summed)", namespace=names, name="w_in"
    )
    rec = Synapses(cells, cells, "w : amp", on_pre="I_syn_post += w", name="rec")
    out = NeuronGroup(1, "o : 1", name="out")
    w_out = Synapses(cells, out, "w : 1\no_post = w*r_pre : 1 (summed)", name="w_out")
    for synapses in (w_in, rec, w_out):
        synapses.connect()
    w_in.w, rec.w, w_out.w = "20*pA*randn()", "(1 - 2*int(i >= 32))*pA*rand()", "randn()"
    net = Network(source, cells, out, w_in, rec, w_out)
    return dict(net=net, cells=cells, w_in=w_in, rec=rec, w_out=w_out, out=out, stim=names["stim"])


@pytest.fixture
def names(tmp_path, monkeypatch):
    """A network, what was wrapped of it, and a task of 30 steps; examples that save do so in a folder."""
    monkeypatch.chdir(tmp_path)
    defaultclock.dt = 1 * ms
    live = network()
    live["w_in"].w = "200*pA*randn()"  # so that neurons spike within 30 steps
    model = bb.wrap(live["net"], train={live["rec"].w: bb.Dale(), live["w_out"].w: None})
    task = bb.tasks.ContextIntegration(**SHORT)
    trained = bb.Trained(model, task.name, task.arguments, {"stim": "stimulus"}, "out.o")
    surrogate = bb.Surrogate(model, bb.Box(width=25 * mV))
    return live | dict(model=model, surrogate=surrogate, task=task, trained=trained)


def test_every_page_with_examples_is_tested():
    here = set(re.findall(r'run\("(\S+\.md)"', Path(__file__).read_text()))
    assert {page.name for page in DOCS.glob("*.md") if blocks(page.name)} == here | ELSEWHERE


@pytest.mark.filterwarnings("error:.*best approximation")
def test_parameters():
    found = run("parameters.md", dict(other_net=network(6)["net"], **network()))
    assert set(found["moved"].new) == {"source", "w_in"}
    assert found["by_modes_net"]["rec_modes"].N == 3
    assert bb.initial.spectral_radius(found["sparse"]) / pA == pytest.approx(1.5)


def test_accounts_of_parameters_are_those_that_are_printed():
    slow = str(bb.rescale_time(bb.load("li2020", cells=20), 3, "cells.tau_m", "cells.tau_r", "rec.tau"))
    printed = (DOCS / "parameters.md").read_text()
    for line in re.findall(r"^    ((?:scaled|changed): .*)$", printed, flags=re.M):
        for part in line.split("  ->  "):
            assert part.removeprefix("... ").replace("0.577350*xi) : volt", "0.57735") in slow


def test_how_it_works(names):
    names["n"] = 3
    found = run("how-it-works.md", names)
    seen = found["records"]["cells"][:, 0].numpy()
    assert seen.any() and np.array_equal(seen.sum(axis=0), found["spikes"].count)


def test_training(names):
    before = names["rec"].w_[:]
    less = {"updates=5000": "updates=2, progress=False", "range(500)": "range(2)"}
    found = run("training.md", names, less)
    assert Path("out/li2020.safetensors").is_file()
    after = found["trained"].values["rec.w"] / amp
    assert np.all(after * before >= 0) and not np.array_equal(after, before)  # Dale's law
    assert found["gaussian"].derivative(torch.zeros(())) * 5e-3 == pytest.approx(1 / np.sqrt(2 * np.pi))


def test_simulate(names):
    names["trained"].save("trained.safetensors")
    less = {"ContextIntegration()": f"make('context_integration', **{names['task'].arguments})"}
    less |= {"trials=100": "trials=2", "range(10)": "range(2)"}
    less |= {'device="cpp_standalone"': "trials=2"}  # compiled in test_devices.py
    found = run("simulate.md", names, less)["found"]
    assert found.outputs.shape == (30, 2, 1)


def test_perturb():
    defaultclock.dt = 1 * ms
    model = bb.load("li2020", cells=10, source=1, seed=1)
    task = bb.tasks.DelayedMatch(fixation=5 * ms, sample=5 * ms, delay=5 * ms, test=5 * ms, response=5 * ms)
    trained = bb.Trained(model, task.name, task.arguments, {"stimulus": "stimulus"}, "out.o")
    less = {"perturbation=hold": "perturbation=hold, trials=2", '"delayed_match"': "None", "=200": "=2"}
    less |= {"figure4(networks)": 'figure4(networks, trials=2, epochs=["delay"])'}
    found = run("perturb.md", dict(trained=trained, networks=[trained]), less)
    assert {row["epoch"] for row in found["found"].pooled} >= {"sample", "delay", "test"}


def test_files(tmp_path, monkeypatch):
    """The model file of the page is read as well; what it leaves out (...) is filled in."""
    monkeypatch.chdir(tmp_path)
    (text,) = blocks("files.md", "toml")
    rest = "dr/dt = -r/(50*ms) : 1\nR : ohm (constant)\nv_rest : volt (constant)"
    text = text.replace("\n...\n", f"\n{rest}\n").replace('"v > theta"', '"v > -50*mV"')
    text = text.replace('"v = v_reset"', '"v = -65*mV"').replace("n = 400", "n = 20")
    Path("path/to").mkdir(parents=True)
    Path("path/to/model.toml").write_text(text)
    found = run("files.md", dict(brianbridge=bb))
    assert len(found["model"]["cells"].values["tau_m"]) == 20
    assert {trained.name for trained in found["model"].trainable} == {"cells.tau_m", "rec.w", "rec.tau"}


def test_tasks():
    found = run("tasks.md", {}, {"task.outcomes(output": "task.outcomes(0*trials.targets"})
    trials = found["RememberSign"]().trials(1, 6, 1 * ms)
    assert trials.inputs["stimulus"].shape == (400, 6, 1)
    assert not [
        kind for kind in kinds.__all__ if kind != "read" and f"`{kind}" not in (DOCS / "tasks.md").read_text()
    ]


def test_checks(names):
    trained = bb.fit(
        names["surrogate"],
        names["task"],
        inputs={"stim": "stimulus"},
        output="out.o",
        updates=1,
        progress=False,
    )
    less = {"bb.check(trained, ": 'bb.check(trained, only=["constraints"], progress=False, '}
    found = run("checks.md", dict(trained=trained), less)
    assert Path("report.html").is_file()
    assert found["report"].counts()["pass"] == 1
