"""The ladder of checks: the true network passes, every mutant fails its rung, nothing finished is lost."""

import json
import re
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
from brian2 import (
    Function,
    Hz,
    Network,
    NeuronGroup,
    PoissonGroup,
    Synapses,
    TimedArray,
    ms,
    prefs,
)

import brianbridge as bb
from brianbridge.analysis import equivalence_of_paired_proportions
from brianbridge.checks import LADDER, checked_task, controls, mutants, options, reproduce, running
from brianbridge.checks.attribution import CAUSES, with_causes
from brianbridge.checks.constraints import _not_the_same
from brianbridge.checks.context import QUICK, Context, Sizes
from brianbridge.checks.equivalence import equivalence_verdict
from brianbridge.checks.finding import Finding, Table
from brianbridge.checks.keeping import Kept
from brianbridge.checks.noise import coarsened, drawn_noise, noise_places
from brianbridge.checks.readout import refitted_output
from brianbridge.checks.refinement import refinements
from brianbridge.checks.reproduction import ReportFileError
from brianbridge.checks.step_dependence import step_dependence
from brianbridge.cli import main
from brianbridge.model.rebuild import unrun
from brianbridge.report import VERDICTS

TINY = Sizes(trials=12, few=1, refinements=(1, 2), full=False)
CHEAP = ("transcription", "constraints")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(options.LADDERS, "quick", TINY)


@pytest.fixture(scope="module")
def trained():
    """It was never trained, but what is checked here does not ask for that."""
    task = bb.tasks.ContextIntegration(fixation=10 * ms, stimulus=200 * ms, response=30 * ms)
    return bb.Trained(
        model=bb.load("li2020", cells=20, seed=3),
        task="context_integration",
        arguments=dict(task.arguments),
        inputs={"stimulus": "stimulus"},
        output="out.o",
    )


@pytest.fixture
def file(trained, tmp_path):
    return trained.save(tmp_path / "trained.safetensors")


def verdicts(report):
    keys = [rung.key for rung in LADDER]
    return {key: check.verdict for key, check in zip(keys, report.checks)}


def climb(trained, *only, **options):
    report = bb.check(trained, only=only, progress=False, **options)
    assert "errors" not in report.data, report.data["errors"]
    return {key: verdict for key, verdict in verdicts(report).items() if key in only}


# -- the true network, and mutants --------------------------------------------------------------------


def test_the_true_network_passes_what_needs_no_training(trained):
    report = bb.check(
        trained, only=("transcription", "precision", "convergence", "constraints"), progress=False
    )
    found = verdicts(report)
    assert found["transcription"] == found["convergence"] == found["constraints"] == "pass"
    assert report.data["transcription"]["events"][0]["in Brian2"] > 10
    assert report.data["precision"]["trials"] == 12
    slopes = report.data["convergence"]["slopes"]
    assert slopes["cells.v"] == pytest.approx(1, abs=0.1)
    others = {key: check for key, check in zip(found, report.checks) if found[key] == "not run"}
    assert "performance" in others and all(check.reason for check in others.values())


@pytest.mark.parametrize(
    "mutant, rung",
    [
        (mutant, rung.key)
        for rung in LADDER
        for mutant in rung.mutants
        if rung.key in ("transcription", "constraints", "convergence")
    ],
)
def test_mutants_fail_their_rung(trained, mutant, rung):
    changed = mutants.MUTANTS[mutant](trained.model)
    assert climb(trained, rung, model=changed) == {rung: "fail"}


def test_every_rung_has_a_mutant_and_every_mutant_a_rung():
    assert all(rung.mutants for rung in LADDER)
    assert {mutant for rung in LADDER for mutant in rung.mutants} == set(mutants.MUTANTS)


@pytest.fixture(scope="module")
def decided(trained):
    """A network that does its task: neurons follow the streams, nothing is recurrent."""
    task = bb.tasks.ContextIntegration(fixation=10 * ms, stimulus=100 * ms, response=60 * ms, noise=0.1)
    return pushing_network(task)


def pushing_network(task):
    """Neuron 0 spikes for positive streams, neuron 1 for negative ones; contexts are not told apart."""
    model = bb.load("li2020", cells=20, seed=3)
    sign = np.where(np.arange(20) % 2, -1.0, 1.0)
    w_in = model["w_in"]
    values = {
        ("w_in", "w"): 3e-10 * sign[w_in.j] * (w_in.i < 2),
        ("w_out", "w"): 8 * sign,
        ("cells", "tau_r"): np.full(20, 0.1),
        ("rec", "w"): model["rec"].values["w"] * 0,
    }
    return bb.Trained(
        model=model.with_values(values),
        task="context_integration",
        arguments=dict(task.arguments),
        inputs={"stimulus": "stimulus"},
        output="out.o",
    )


@pytest.fixture(scope="module")
def relaying(decided):
    """As `decided`, but the answer goes through a few strong recurrent synapses among many weak ones."""
    model = decided.model
    rec, cells = model["rec"], np.arange(20)
    relays = np.flatnonzero((rec.i < 10) & (rec.j >= 10) & (rec.i % 2 == rec.j % 2))[: len(rec.i) // 10]
    weights = np.full(len(rec.i), 1e-14)
    weights[relays] = 4e-9
    w_in, w_out = (np.array(model[name].values["w"]) for name in ("w_in", "w_out"))
    values = {
        ("rec", "w"): weights,
        ("w_in", "w"): np.where(model["w_in"].j < 10, w_in, 0),
        ("w_out", "w"): np.where(np.isin(cells, rec.j[relays]), 5 * w_out, 0),
    }
    return replace(decided, model=model.with_values(values))


def test_pruning_is_noticed_where_the_pruned_weights_matter(relaying, monkeypatch):
    monkeypatch.setitem(options.LADDERS, "quick", replace(TINY, trials=80))
    report = bb.check(relaying, only=["perturbation"], progress=False)
    data = report.data["perturbation"]
    assert next(check for check in report.checks if check.number == 9).verdict == "pass"
    assert [row["correct"] for row in data["outcomes"]] == [data["intact"], data["pruned"]]
    for row in data["outcomes"]:
        assert sum(share for name, share in row.items() if name != "network") == pytest.approx(1)
    mutant = mutants.disguised(relaying.model)
    assert climb(relaying, "perturbation", model=mutant) == {"perturbation": "fail"}


def test_all_recurrent_projections_are_pruned_and_left_out_of_a_control(decided):
    stimulus = TimedArray(np.zeros((1, 4)), dt=1 * ms, name="stimulus")  # noqa: F841 - of the equations
    drive = "dv/dt = (1.2 + 5*stimulus(t, i % 4) + u - v)/(20*ms) : 1\nu : 1"
    excitatory, inhibitory = (
        NeuronGroup(6, drive, threshold="v > 1", reset="v = 0", method="euler", dt=1 * ms, name=name)
        for name in "EI"
    )
    out = NeuronGroup(1, "v : 1", dt=1 * ms, name="out")
    source = PoissonGroup(6, 10 * Hz, dt=1 * ms, name="source")
    cells, synapses = (excitatory, inhibitory), []
    for a, b in [(source, excitatory), *((a, b) for a in cells for b in cells), (excitatory, out)]:
        synapses.append(Synapses(a, b, "w : 1", on_pre="v_post += w", dt=1 * ms, name=f"{a.name}_{b.name}"))
    fed_back = "w : 1\nu_post = w*v_pre : 1 (summed)"
    synapses.append(Synapses(out, excitatory, fed_back, dt=1 * ms, name="back"))
    for synapse in synapses:
        synapse.connect()
        synapse.w = "0.01*i"
    model = bb.wrap(Network(source, *cells, out, *synapses))
    own = replace(decided, model=model, output="out.v")
    report = bb.check(own, only=["perturbation"], progress=False)
    assert "errors" not in report.data, report.data["errors"]
    assert report.data["perturbation"]["synapses"] == ["E_E", "E_I", "I_E", "I_I"]
    left = controls.without_recurrence(model, "out.v")
    assert {g.name for g in left.groups if hasattr(g, "i")} == {"source_E", "E_out", "back"}


def test_a_disguised_network_does_what_it_did(trained):
    task = bb.tasks.make(trained.task, **trained.arguments)
    trials = task.trials(1, 2, 1 * ms)
    noise = {"cells_stateupdater/0": np.random.default_rng(1).normal(size=(trials.steps, 2, 20))}
    true, mutant = (
        bb.simulate(replace(trained, model=model), trials, noise=noise, progress=False)
        for model in (trained.model, mutants.disguised(trained.model))
    )
    assert true.raster("cells").values.any()
    assert np.allclose(true.outputs.values, mutant.outputs.values, rtol=1e-9)
    w = [np.abs(model["rec"].values["w"]) for model in (trained.model, mutants.disguised(trained.model))]
    assert np.argsort(w[0])[::-1].tolist() == np.argsort(w[1]).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("rung", ["precision", "integrator", "performance", "controls"])
def test_rungs_that_need_a_task_pass_the_true_network_and_fail_their_mutants(decided, rung, monkeypatch):
    monkeypatch.setitem(options.LADDERS, "quick", replace(TINY, trials=100, refinements=(1, 10)))
    assert climb(decided, rung) == {rung: "pass"}
    for mutant in next(r.mutants for r in LADDER if r.key == rung):
        assert climb(decided, rung, model=mutants.MUTANTS[mutant](decided.model)) == {rung: "fail"}, mutant


def test_a_readout_fitted_anew_is_among_the_controls(trained, monkeypatch):
    monkeypatch.setitem(options.LADDERS, "full", replace(TINY, full=True))
    report = bb.check(trained, ladder="full", only=["controls"], progress=False)
    assert "errors" not in report.data
    names = [row["control"] for row in report.data["controls"]["controls"]]
    assert names == ["shuffled labels", "constant answer", "shuffled values", "W = 0", "readout only"]


def test_causes_of_the_time_step_are_undone(trained):
    model = with_causes(trained.model, CAUSES, 1e-3, 1e-4)
    cells, before = model["cells"], trained.model["cells"]
    assert cells.refractory == 1e-3
    assert "theta" in cells.events["spike"] and "0.5826" in cells.events["spike"]
    tau, matched = before.values["tau_m"], cells.values["tau_m"]
    assert np.allclose((1 - 1e-3 / tau), np.exp(-1e-3 / matched))
    assert np.allclose(model["rec"].pathways[0].delay, 0.9e-3)
    assert np.array_equal(cells.values["R"], before.values["R"])
    model.network(dt=0.1 * ms).run(1 * ms)


@pytest.mark.slow
def test_back_ends_agree_and_tell_mutants(trained):
    assert climb(trained, "back_ends") == {"back_ends": "pass"}
    changed = mutants.shuffled(trained.model)
    assert climb(trained, "back_ends", model=changed) == {"back_ends": "fail"}


# -- options ------------------------------------------------------------------------------------------


def test_margins_are_changed_in_the_open(trained):
    changed = mutants.charge(trained.model)
    report = bb.check(
        trained, only=["convergence"], margins={"convergence": 0.5}, progress=False, model=changed
    )
    check = next(check for check in report.checks if check.name.startswith("Convergence"))
    assert check.margin == 0.5 and "(changed; the default is 0.2)" in check.criterion
    assert report.manifest["check"]["margins"]["convergence"] == 0.5


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(ladder="short"), "no ladder 'short'"),
        (dict(margins={"performence": 0.1}), "Did you mean 'performance'"),
        (dict(margins={"performance": -1}), "positive number"),
        (dict(only=["transcripton"]), "Did you mean 'transcription'"),
        (dict(dt=[1, 2]), "not in seconds"),
        (dict(dt=[1, 2] * ms * 1000), "none"),
        (dict(dt=[1, 0.3] * ms), "0.3 ms does not divide that of the trials, 1 ms"),
        (dict(dt=2 * ms), "2 ms does not divide"),
        (dict(seed=-1), "whole number"),
        (dict(margins={"performance": 10**400}), "positive number"),
        (dict(model="li2020"), "model='li2020' is no model: model=bb.wrap"),
        (
            dict(untrained=bb.load("li2020", cells=21, seed=3)),
            "cells is a group of 21 there, and a group of 20",
        ),
        (dict(fine_tune=3), "ladder='full'"),
        (dict(fine_tune=3, ladder="full", only=["performance"]), "'time_steps'"),
    ],
)
def test_wrong_options(trained, options, message):
    with pytest.raises(bb.checks.CheckOptionError, match=message):
        bb.check(trained, progress=False, **options)


def test_a_task_of_the_users_own_must_be_handed_over(trained):
    own = replace(trained, task="hold")
    with pytest.raises(bb.checks.CheckedTaskError, match="Hand it over"):
        bb.check(own, progress=False)
    task = bb.tasks.make(trained.task, **trained.arguments)
    assert climb(own, "constraints", task=task) == {"constraints": "pass"}
    with pytest.raises(bb.checks.CheckedTaskError, match="no task"):
        bb.check(replace(trained, task=""), progress=False)


def test_without_torch_the_comparison_with_the_surrogate_is_not_run(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("brianbridge.checks.surrogate_side")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(bb.checks, "surrogate_side", raising=False)
    for name in [
        name
        for name in sys.modules
        if name.startswith(("brianbridge.surrogate", "brianbridge.comparison.side"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    report = bb.check(trained, only=["transcription"], progress=False)
    assert report.checks[0].verdict == "not run" and report.checks[0].reason == "torch missing"


def test_an_error_of_ours_ends_one_rung_only(trained, monkeypatch):
    def broken(context):
        raise RuntimeError("a bug")

    ladder = tuple(replace(r, measure=broken) if r.key == "transcription" else r for r in LADDER)
    monkeypatch.setattr(running, "LADDER", ladder)
    report = bb.check(trained, only=CHEAP, progress=False)
    assert verdicts(report)["constraints"] == "pass"
    assert report.checks[0].verdict == "not run" and "a bug" in report.checks[0].reason
    assert report.data["errors"] == {"transcription": "RuntimeError: a bug"}


# -- what is kept -------------------------------------------------------------------------------------


def test_interrupted_and_resumed(trained, tmp_path, monkeypatch):
    climbed, measured = running._climbed, []

    def interrupted(rung, context):
        if measured:
            raise KeyboardInterrupt
        measured.append(rung.key)
        return climbed(rung, context)

    monkeypatch.setattr(running, "_climbed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bb.check(trained, only=CHEAP, out=tmp_path, progress=False)
    monkeypatch.setattr(
        running, "_climbed", lambda rung, context: measured.append(rung.key) or climbed(rung, context)
    )
    resumed = bb.check(trained, only=CHEAP, out=tmp_path, progress=False)
    assert measured == list(CHEAP)
    assert verdicts(resumed)["transcription"] == "pass"
    whole = bb.check(trained, only=CHEAP, progress=False)
    assert resumed.as_dict() == whole.as_dict()
    bb.check(trained, only=CHEAP, out=tmp_path, seed=2, progress=False)
    assert len(measured) == 2 + 2 + 2  # another seed is another check
    assert (tmp_path / "report.html").is_file() and (tmp_path / "report.json").is_file()


class OtherIntegration(bb.tasks.ContextIntegration):
    """A task of a user's own."""

    name = "other_integration"


def own_task(trained, kind=OtherIntegration):
    return kind(**trained.arguments)


def test_the_manifest_names_the_task_that_was_used(trained, tmp_path):
    task = bb.tasks.ContextIntegration(fixation=20 * ms, stimulus=100 * ms, response=30 * ms)
    report = bb.check(trained, task, only=["constraints"], out=tmp_path, progress=False)
    assert report.manifest["task"]["arguments"] == dict(task.arguments)
    again = reproduce(tmp_path / "report.json", trained, progress=False)
    assert again.agrees and not [place for place, *_ in again.changed if "task" in place]

    report = bb.check(trained, own_task(trained), only=["constraints"], out=tmp_path, progress=False)
    assert report.manifest["task"]["name"] == "other_integration" and report.title.startswith("Other integ")
    with pytest.raises(ReportFileError, match="'other_integration'.*task="):
        reproduce(tmp_path / "report.json", trained, progress=False)
    assert reproduce(tmp_path / "report.json", trained, own_task(trained), progress=False).agrees
    built_in = bb.tasks.make(trained.task, **trained.arguments)
    changed = reproduce(tmp_path / "report.json", trained, built_in, progress=False).changed
    assert {"manifest.task.name", "manifest.task.built in"} == {place for place, *_ in changed}


def test_a_changed_task_is_another_check(trained, tmp_path, monkeypatch):
    class OtherTargets(OtherIntegration):
        def trials(self, rng, batch, dt):
            trials = super().trials(rng, batch, dt)
            return replace(trials, targets=-trials.targets)

    class OtherRule(OtherIntegration):
        def score(self, output, trials):
            return ~super().score(output, trials)

    class OtherThreshold(OtherIntegration):
        threshold = 0.5

        def score(self, output, trials):
            return np.abs(output[-1, :, 0]) > self.threshold

    class OtherConditions(OtherIntegration):
        def trials(self, rng, batch, dt):
            trials = super().trials(rng, batch, dt)
            return replace(trials, conditions={**trials.conditions, "new": np.arange(batch)})

    measured, climbed = [], running._climbed
    monkeypatch.setattr(
        running, "_climbed", lambda rung, context: measured.append(1) or climbed(rung, context)
    )
    kinds = [OtherIntegration, OtherTargets, OtherRule, OtherConditions, OtherThreshold]
    for number, kind in enumerate(kinds, start=1):
        for _ in range(2):
            task = own_task(trained, kind)
            bb.check(trained, task, only=["constraints"], out=tmp_path, progress=False)
            assert len(measured) == number, kind
    monkeypatch.setattr(OtherThreshold, "threshold", 1.5)
    bb.check(trained, task, only=["constraints"], out=tmp_path, progress=False)
    assert len(measured) == len(kinds) + 1


@pytest.mark.parametrize("changed", [None, "'unterminated\n" * 3])
def test_text_of_a_task_that_is_not_known(trained, tmp_path, changed):
    """Typed at a prompt, or read from a file that is another one now."""
    file = tmp_path / "task.py"
    if changed is not None:
        file.write_text(changed)
    made, text = {}, "def score(self, output, trials):\n    return trials.targets[0, :, 0] > 0"
    exec(compile(text, str(file), "exec"), made)
    typed = type("Typed", (OtherIntegration,), {"score": made["score"]})
    report = bb.check(trained, own_task(trained, typed), only=["constraints"], progress=False)
    assert report.manifest["task"]["source sha256"] == "not known"
    assert report.manifest["task"]["scores sha256"] != "not known"


def test_the_manifest_says_where_and_with_what_it_ran(trained):
    manifest = bb.check(trained, only=["transcription"], progress=False).manifest
    assert manifest["in Brian2"]["devices"] == ["runtime", "surrogate"]
    assert manifest["machine"]["threads"]["torch"] >= 1
    assert {"C", "C++"} == manifest["machine"]["compilers"].keys()
    manifest = bb.check(trained, only=["constraints"], progress=False).manifest
    assert manifest["in Brian2"]["devices"] == ["runtime"]


def test_the_manifest_has_the_users_own_functions(trained, tmp_path):
    def manifest(name, factor):
        path = tmp_path / name
        path.write_text(
            f"from brian2 import *\n@check_units(x=1, result=1)\ndef scaled(x):\n    return {factor}*x\n"
        )
        scaled = Function(runpy.run_path(str(path))["scaled"])
        model = replace(trained.model, functions={"scaled": scaled})
        task = bb.tasks.make(trained.task, **trained.arguments)
        context = Context(replace(trained, model=model), task, sizes=TINY)
        return running.manifest_of(context, "quick", only=["constraints"])

    first, again, other = manifest("a.py", 2), manifest("b.py", 2), manifest("c.py", 3)
    assert first == again and len(first["trained"]["sha256 of the user's functions"]["scaled"]) == 64
    assert {key for key in first if first[key] != other[key]} == {"trained", "in Brian2"}


def test_the_manifest_has_every_preference_that_was_changed_and_the_whole_path(file, monkeypatch):
    usual = {"codegen.target", "codegen.cpp.extra_compile_args_gcc", "core.default_float_dtype"}
    changed = {"codegen.loop_invariant_optimisations": False, "devices.cpp_standalone.openmp_threads": 2}
    monkeypatch.chdir(file.parent)

    def manifest():
        return bb.check(file.name, only=["constraints"], progress=False).manifest

    before = manifest()
    assert before["in Brian2"]["preferences"].keys() == usual
    assert before["trained"]["file"] == str(file.resolve())
    for name, value in changed.items():
        monkeypatch.setitem(prefs, name, value)
    told = manifest()["in Brian2"]["preferences"]
    assert told == before["in Brian2"]["preferences"] | {name: str(value) for name, value in changed.items()}


def test_damaged_findings_are_made_anew(tmp_path):
    rung = LADDER[0]
    manifest = {"check": {"margins": {rung.key: 1.0}}, "trained": {}}
    kept = Kept(tmp_path, manifest)
    finding = Finding("pass", 3, data={"x": np.arange(2)}, tables=[Table("t", ["a"], [[1]])]).stored()
    kept.keep(rung, finding)
    assert kept.of(rung) == finding
    assert Kept(tmp_path, {**manifest, "check": {"margins": {rung.key: 2.0}}}).of(rung) is None
    next((tmp_path / "rungs").iterdir()).write_text("{")
    assert kept.of(rung) is None


# -- the command line ---------------------------------------------------------------------------------


def test_check_and_reproduce_on_the_command_line(file, tmp_path, capsys):
    out = tmp_path / "out"
    only = ["--only", "transcription,constraints"]
    assert main(["check", str(file), "--out", str(out), "--json", *only]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"name", "verdict", "reason", "value", "criterion"} <= document["checks"][0].keys()
    assert all(check["verdict"] in VERDICTS for check in document["checks"])
    assert [check["number"] for check in document["checks"]] == [rung.number for rung in LADDER]
    page = (out / "report.html").read_text()
    assert "http://" not in page and "https://" not in page and "<script" not in page

    assert main(["reproduce", str(out / "report.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agrees"]
    told = json.loads((out / "report.json").read_text())
    told["data"]["transcription"]["events"][0]["in Brian2"] += 1
    (out / "report.json").write_text(json.dumps(told))
    assert main(["reproduce", str(out / "report.json"), "--json"]) == 1
    places = [row["place"] for row in json.loads(capsys.readouterr().out)["differences"]]
    assert places == ["data.transcription.events[0].in Brian2"]


def test_the_network_before_its_training_on_the_command_line(file, trained, tmp_path, capsys):
    before = replace(trained, model=mutants.shuffled(trained.model)).save(tmp_path / "before.safetensors")
    given = ["check", str(file), "--only", "controls", "--out", str(tmp_path / "out"), "--json"]
    main([*given, "--untrained", str(before)])
    document = json.loads(capsys.readouterr().out)
    assert "untrained" in [row["control"] for row in document["data"]["controls"]["controls"]]
    assert document["manifest"]["untrained"]
    assert main([*given, "--untrained", str(tmp_path / "none.safetensors")]) == 65
    capsys.readouterr()
    other = bb.Trained(bb.load("kim2019_rate")).save(tmp_path / "other.safetensors")
    assert main([*given, "--untrained", str(other)]) == 64
    assert "cells is a group of 200 there, and a group of 20" in json.loads(capsys.readouterr().out)["error"]


def test_a_check_that_fails_has_exit_status_1(trained, tmp_path, capsys):
    values = np.array(trained.model["cells"].values["tau_m"])
    values[0] = 1.0
    bad = replace(trained, model=trained.model.with_values({("cells", "tau_m"): values}))
    file = bad.save(tmp_path / "bad.safetensors")
    assert main(["check", str(file), "--only", "constraints", "--out", str(tmp_path / "out")]) == 1
    assert "fail" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["--margin", "performence=0.1"], 64),
        (["--margin", "performance"], 64),
        (["--only", "nothing"], 64),
        (["--dt", "a,b"], 64),
        (["--ladder", "high"], 64),
        (["--fine-tune", "3"], 64),
    ],
)
def test_wrong_usage(file, tmp_path, capsys, arguments, status):
    assert main(["check", str(file), "--out", str(tmp_path / "out"), *arguments]) == status
    assert capsys.readouterr().err.startswith("brianbridge: ")


def test_files_that_cannot_be_used(file, trained, tmp_path, capsys):
    content = bytearray(file.read_bytes())
    content[-20] ^= 255
    file.write_bytes(content)
    assert main(["check", str(file)]) == 65
    said = capsys.readouterr().err
    assert said.startswith(f"brianbridge: {file}") and len(said.splitlines()) == 1
    own = replace(trained, task="hold").save(tmp_path / "own.safetensors")
    assert main(["check", str(own)]) == 65
    assert "'hold'" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "missing.safetensors")]) == 65
    (tmp_path / "report.json").write_text("{}")
    assert main(["reproduce", str(tmp_path / "report.json")]) == 65
    assert main(["reproduce", str(tmp_path / "missing.json")]) == 65


@pytest.mark.parametrize("fixation", ["1e9 second", "1e15 second", "3 second"])
def test_a_task_whose_trials_are_too_long(trained, tmp_path, capsys, monkeypatch, fixation):
    monkeypatch.setattr(checked_task, "LARGEST", 1e6)
    absurd = replace(trained, arguments=trained.arguments | {"fixation": fixation})
    file = absurd.save(tmp_path / "absurd.safetensors")
    assert main(["check", str(file), "--out", str(tmp_path / "out")]) == 65
    assert "context_integration draws no trials" in capsys.readouterr().err


def test_an_error_of_ours_while_reproducing(file, tmp_path, capsys, monkeypatch):
    report = tmp_path / "out" / "report.json"
    only = ["--only", "constraints", "--out", str(report.parent)]
    assert main(["check", str(file), *only]) == 0

    def broken(context):
        raise RuntimeError("a bug")

    ladder = tuple(replace(r, measure=broken) if r.key == "constraints" else r for r in LADDER)
    monkeypatch.setattr(running, "LADDER", ladder)
    capsys.readouterr()
    assert main(["reproduce", str(report), "--json"]) == 70
    assert json.loads(capsys.readouterr().out)["errors"] == {"constraints": "RuntimeError: a bug"}
    assert main(["reproduce", str(report)]) == 70
    assert "a bug" in capsys.readouterr().out


def test_reproduce_refuses_another_network(trained, tmp_path, monkeypatch):
    bb.check(trained, only=["constraints"], out=tmp_path, progress=False)
    with pytest.raises(ReportFileError, match="does not say in which file"):
        reproduce(tmp_path / "report.json")
    other = replace(trained, model=mutants.weights(trained.model))
    with monkeypatch.context() as patch:
        patch.setattr("brianbridge.checks.reproduction.check", None)  # nothing is checked
        for given in (other, other.save(tmp_path / "other.safetensors")):
            with pytest.raises(ReportFileError, match="another trained network"):
                reproduce(tmp_path / "report.json", given, progress=False)
    assert reproduce(tmp_path / "report.json", trained, progress=False).agrees


# -- parts --------------------------------------------------------------------------------------------


def test_equivalence_of_paired_proportions():
    same = np.ones(100, bool)
    seen = equivalence_of_paired_proportions(same, same, 0.05)
    assert seen.equivalent and seen.difference == 0 and seen.interval[1] == pytest.approx(0.016, abs=1e-3)
    assert not equivalence_of_paired_proportions(same[:20], same[:20], 0.05).equivalent  # too few to tell
    other = np.arange(100) % 5 > 0
    gap = equivalence_of_paired_proportions(same, other, 0.05)
    assert gap.difference == pytest.approx(0.2) and gap.p_value > 0.99
    assert equivalence_verdict(seen) == ("pass", "")
    assert "differs" in equivalence_verdict(gap)[1]
    assert (
        "more trials" in equivalence_verdict(equivalence_of_paired_proportions(same[:20], same[:20], 0.05))[1]
    )
    with pytest.raises(ValueError, match="paired"):
        equivalence_of_paired_proportions(same, same[:3], 0.05)


def test_equivalence_of_paired_proportions_keeps_its_level():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        first = rng.random(200) < 0.9
        second = first & ~(rng.random(200) < 0.1 / 0.9)  # 0.1 less: at the margin
        wrong += equivalence_of_paired_proportions(first, second, 0.1).equivalent
    assert wrong / 400 < 0.08


def test_noise_of_coarser_steps_is_on_the_same_path(trained):
    assert noise_places(trained.model) == {"cells_stateupdater/0": ("randn", 20)}
    trials = bb.tasks.make(trained.task, **trained.arguments).trials(1, 2, 1 * ms)
    fine = drawn_noise(trained.model, trials, seed=1, refinement=4)
    coarse = coarsened(fine, 4)
    (a,), (b,) = fine.values(), coarse.values()
    assert b.shape == (240, 2, 20) and b.std() == pytest.approx(1, abs=0.05)
    assert np.allclose(np.cumsum(a, axis=0)[3::4] * np.sqrt(0.25), np.cumsum(b, axis=0))


def test_text_that_depends_on_the_time_step(trained):
    assert step_dependence(bb.load("hodgkin_huxley")) == ""  # rates are (constant over dt)
    assert step_dependence(trained.model) == ""
    assert "cells contains dt" in step_dependence(mutants.noise(trained.model))
    cells = trained.model["cells"]
    noisy = replace(cells, equations=cells.equations.replace("xi", "randn()*Hz**0.5"))
    assert "random numbers" in step_dependence(trained.model.with_group(noisy))
    resting = replace(cells, refractory="2*dt")
    assert "refractory period of cells contains dt" in step_dependence(trained.model.with_group(resting))
    chance = replace(cells, codes={"spike": "v = v_reset + randn()*mV"})
    assert step_dependence(trained.model.with_group(chance)) == ""  # once for each spike


def test_rates_of_poisson_neurons_do_not_depend_on_the_time_step():
    source = PoissonGroup(3, rates=20 * Hz)
    assert step_dependence(bb.wrap(Network(source))) == ""
    source = PoissonGroup(3, rates="1/dt*0.01")
    assert "an equation of" in step_dependence(bb.wrap(Network(source)))


@pytest.mark.parametrize(
    "code, dt, depends",
    [
        ("x = 0.99*x", None, True),
        ("x += 0.1", None, True),
        ("y = x; x = 0.99*y", None, True),
        ("x = randn()", None, True),
        ("x = y", None, False),  # it follows another variable
        ("x = 2*y; y = x", None, True),
        ("y = 2; x = y", None, False),
        ("x = 0.99*x", 5 * ms, False),
        ("x = randn()", 5 * ms, False),
        ("x = 5*ms/dt", 5 * ms, True),
    ],
)
def test_what_runs_in_every_step_depends_on_it(code, dt, depends):
    cells = NeuronGroup(2, "x : 1\ny : 1", dt=1 * ms)
    cells.run_regularly(code, dt=dt)
    assert bool(step_dependence(bb.wrap(Network(cells)))) is depends


@pytest.mark.parametrize(
    "dt, spiking, quick, full",
    [
        (1.0, True, (1, 10), (1, 2, 4, 10, 20)),
        (2.0, True, (1, 10), (1, 2, 4, 20, 40)),
        (0.5, True, (1, 10), (1, 2, 5, 10)),
        (0.2, True, (1, 4), (1, 2, 4)),
        (0.1, True, (1, 2), (1, 2)),
        (0.05, True, (1, 2), (1, 2)),
        (0.02, True, (1, 2), (1, 2)),
        (0.125, True, (1, 2), (1, 3)),
        (5.0, False, (1, 10), (1, 2, 4, 10, 20)),
        (20.0, False, (1, 10), (1, 2, 4, 10, 20)),
        (0.2, False, (1, 4), (1, 2, 4)),
    ],
)
def test_steps_of_the_ladder(dt, spiking, quick, full):
    assert refinements(dt * 1e-3, spiking, full=False) == quick
    assert refinements(dt * 1e-3, spiking, full=True) == full


@pytest.mark.parametrize("name, finest", [("lin2024", 0.05), ("adex", 0.05), ("song2016", 2.0)])
def test_the_quick_ladder_has_two_time_steps(name, finest):
    context = Context(bb.Trained(bb.load(name)), None, sizes=QUICK)
    assert [dt * 1e3 for dt in context.finer] == pytest.approx([finest])


def test_a_coarser_step_is_not_a_finer_one(trained):
    context = Context(trained, None, dts=(1e-3, 2e-3, 5e-4))
    assert context.others == (2e-3, 5e-4) and context.finer == (5e-4,)


def test_values_are_compared_bit_by_bit():
    assert "1 values" in "".join(_not_the_same(np.array([0.0, 1.0]), np.array([-0.0, 1.0])))
    assert not list(_not_the_same(np.array([-0.0, 1.0]), np.array([-0.0, 1.0])))


def test_a_readout_is_tested_with_other_noise_than_it_was_fitted_with(trained, monkeypatch):
    context = Context(trained, bb.tasks.make(trained.task, **trained.arguments), sizes=TINY)
    seeds, run = [], context.run
    monkeypatch.setattr(
        context,
        "run",
        lambda *given, **options: seeds.append(options["seed"]) or run(*given, **options),
    )
    assert refitted_output(context, trained.model) is not None
    assert len(seeds) == len(set(seeds)) == 2


def test_orders_are_those_of_the_examined_equations(trained):
    """A model whose equations lose an order is found out, though the trained ones have it."""
    cells = trained.model["cells"]
    late = replace(cells, equations=cells.equations.replace("/tau_r", "/tau_r*(1 + sqrt(dt/second))"))
    assert late.equations != cells.equations
    assert climb(trained, "convergence", model=trained.model.with_group(late)) == {"convergence": "fail"}
    still = replace(cells, equations=re.sub(r"dr/dt.*", "r : 1", cells.equations))
    report = bb.check(trained, only=["convergence"], model=trained.model.with_group(still), progress=False)
    assert set(report.data["convergence"]["slopes"]) == {"cells.v"}


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("/tau_r", "/tau_r*(1 + dt/ms)", "contains dt"),
        ("sigma*xi", "sigma*randn()*Hz**0.5", "random numbers"),
    ],
)
def test_no_order_is_expected_of_equations_that_depend_on_the_time_step(trained, old, new, reason):
    cells = trained.model["cells"]
    changed = trained.model.with_group(replace(cells, equations=cells.equations.replace(old, new)))
    report = bb.check(replace(trained, model=changed), only=["convergence"], progress=False)
    check = next(check for check in report.checks if check.number == 3)
    assert check.verdict == "not applicable" and reason in check.reason


def test_connections_are_those_that_brian2_has(trained, monkeypatch):
    other = trained.model.with_group(replace(trained.model["rec"], j=trained.model["rec"].j[::-1]))
    monkeypatch.setattr("brianbridge.checks.constraints.unrun", lambda model: unrun(other))
    report = bb.check(trained, only=["constraints"], progress=False)
    assert report.data["constraints"]["broken"] == ["rec connects other neurons"]


def test_every_time_step_has_noise_of_its_own(trained, monkeypatch):
    seeds, run = [], Context.run

    def seen(self, *given, **options):
        seeds.append(options["seed"])
        return run(self, *given, **options)

    monkeypatch.setattr(Context, "run", seen)
    climb(trained, "performance", dt=[0.5, 0.25] * ms)
    assert seeds == [1, 1001, 2001]


def test_a_figure_that_cannot_be_drawn_costs_nothing_else(trained, tmp_path, monkeypatch):
    def broken(finding):
        raise RuntimeError("a bug")

    measured, climbed = [], running._climbed
    monkeypatch.setattr(
        running, "_climbed", lambda rung, context: measured.append(1) or climbed(rung, context)
    )
    ladder = tuple(replace(rung, plot=broken) if rung.key == "constraints" else rung for rung in LADDER)
    monkeypatch.setattr(running, "LADDER", ladder)
    for _ in range(2):
        report = bb.check(trained, only=["constraints"], out=tmp_path, progress=False)
        check = next(check for check in report.checks if check.number == 8)
        assert check.verdict == "pass" and "could not be drawn" in check.reason and not report.figures
        assert "a bug" in report.data["errors"]["constraints"]
    assert len(measured) == 1


@pytest.mark.parametrize("method, order", [("rk4", 4), ("rk2", 2), ("exponential_euler", None)])
def test_orders_of_other_integrators(trained, method, order):
    cells = trained.model["cells"]
    quiet = replace(cells, equations=cells.equations.replace("sigma*xi", "0*volt/second"), method=method)
    model = trained.model.with_group(quiet)
    report = bb.check(replace(trained, model=model), only=["convergence"], progress=False)
    check = next(check for check in report.checks if check.number == 3)
    assert check.verdict == ("pass" if order else "not applicable"), (check.value, check.reason)
    if order:
        assert report.data["convergence"]["slopes"]["cells.v"] == pytest.approx(order, abs=0.2)
