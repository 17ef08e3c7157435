"""`Trained`: its file, and the way back into Brian2."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from brian2 import *
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save_file

import brianbridge as bb
from brianbridge.trained import TrainedFileError
from tests.networks import small_network, standalone


def wrapped():
    net, cells, w_in, rec, stim = small_network()
    train = {
        cells.tau_m: bb.Bounds(1 * ms, 50 * ms, mask=np.arange(6) > 0),
        cells.R: None,
        cells.v: None,
        rec.w: bb.Dale(),
        w_in.w: bb.Free(tie=np.arange(12) // 2),
        stim: None,
        "tau_syn": bb.Positive(),
    }
    return net, bb.wrap(net, train=train)


def changed(model, seed=1):
    """As after training: other values everywhere."""
    surrogate = bb.Surrogate(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for raw in surrogate.named_values().values():
            raw += 0.1 * raw.abs().mean() * torch.rand_like(raw)
    return bb.Trained(
        model=surrogate.trained_model(),
        task="hold",
        arguments={"delay": "300 ms", "channels": 2},
        inputs={"stim": "stimulus"},
        output="cells.r",
        history={"loss": [2.0, 1.0], "validated": [None, 0.9]},
        manifest={"seed": 1},
    )


@pytest.fixture(scope="module")
def trained():
    start_scope()
    np.random.seed(0)
    return changed(wrapped()[1])


@pytest.fixture(scope="module")
def content(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "network.safetensors"
    return trained.save(path).read_bytes()


# -- values and files ---------------------------------------------------------------------------------


def test_values_carry_units(trained):
    assert trained.values["cells.tau_m"].dim is second.dim
    assert trained.values["cells.tau_syn"].shape == ()
    assert trained.values["stim"].shape == (40, 2)
    assert list(trained.values) == [
        *("cells.tau_m", "cells.R", "cells.v", "rec.w", "w_in.w", "stim"),
        *("cells.tau_syn",),
    ]
    assert 1 * ms < trained.values["cells.tau_m"][0] < 50 * ms


def test_read_back_with_the_same_bits(trained, tmp_path):
    path = trained.save(tmp_path / "folder" / "network.safetensors")
    again = bb.Trained.load(path)
    assert again.hash == trained.hash
    for name, value in trained.values.items():
        assert np.asarray(again.values[name]).tobytes() == np.asarray(value).tobytes(), name
    for before, after in zip(trained.model.groups, again.model.groups):
        assert before.values.keys() == after.values.keys()
        for name in before.values:
            assert before.values[name].dtype == after.values[name].dtype
            assert np.array_equal(before.values[name], after.values[name])
    for field in ("task", "arguments", "inputs", "output", "history", "manifest"):
        assert getattr(again, field) == getattr(trained, field)
    assert again.save(tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_tensors_are_called_as_in_brian2(content, trained):
    tensors = tensors_of(content)
    assert {"cells.tau_m", "cells.v", "cells.R", "cells.tau_syn", "rec.w", "rec.i", "rec.j", "stim"} <= set(
        tensors
    )
    assert all([name.count(".") <= 2 for name in tensors])
    assert np.array_equal(tensors["rec.w"], trained.values["rec.w"])
    assert tensors["rec.w"].dtype == np.float64
    assert tensors["rec.i"].dtype == tensors["rec.j"].dtype == np.int32
    assert tensors["rec.pre.delay"] == 0.002
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == ["brianbridge"]
    metadata = json.loads(header["__metadata__"]["brianbridge"])
    assert metadata["schema"] == 1
    assert metadata["model_hash"] == trained.hash


def test_another_process_reads_and_runs_it_without_torch(trained, tmp_path):
    path = trained.save(tmp_path / "network.safetensors")
    script = f"""
import sys
from brian2 import ms, prefs
prefs.codegen.target = "numpy"
import brianbridge as bb
trained = bb.Trained.load({str(path)!r})
network = trained.network(dt=0.5*ms)
network.run(2*ms)
print(trained.hash, network['cells'].v_[0], 'torch' in sys.modules)
"""
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found, _, with_torch = output.stdout.split()
    assert found == trained.hash
    assert with_torch == "False"
    assert "WARNING" not in output.stderr


@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(trained, tmp_path, monkeypatch, broken):
    path = tmp_path / "network.safetensors"
    path.write_bytes(b"old")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fails)
    with pytest.raises(OSError, match="No space left"):
        trained.save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["network.safetensors"]


def test_files_have_the_usual_permissions_and_names(trained, tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    path = trained.save(tmp_path / "network.safetensors")
    assert path.stat().st_mode == ordinary.stat().st_mode
    with pytest.raises(ValueError, match="stored as .safetensors files"):
        trained.save(tmp_path / "network.pkl")


def test_what_json_cannot_hold_is_refused_before_anything_is_written(trained, tmp_path):
    from dataclasses import replace

    with pytest.raises(TypeError):
        replace(trained, manifest={"seed": object()}).save(tmp_path / "network.safetensors")
    assert not os.listdir(tmp_path)


def test_functions_are_handed_over_again(tmp_path):
    @implementation("torch", lambda x: 2 * x)
    @check_units(x=1, result=1)
    def double(x):
        return 2 * x

    cells = NeuronGroup(2, "dv/dt = (double(a) - v)/(5*ms) : 1\na : 1", method="euler", name="cells")
    model = bb.wrap(Network(cells), train={cells.a: None})
    path = bb.Trained(model=model).save(tmp_path / "network.safetensors")
    again = bb.Trained.load(path)
    with pytest.raises(ValueError, match="double, functions of your own, which files do not hold"):
        again.network()
    again.with_functions({"double": model.functions["double"]}).network().run(1 * ms)


# -- hostile files ------------------------------------------------------------------------------------


def rewritten(content, path, change_metadata=None, change_tensors=None):
    """The file with other metadata or tensors."""
    tensors = tensors_of(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = json.loads(header["__metadata__"]["brianbridge"])
    if change_tensors:
        change_tensors(tensors)
    text = json.dumps(metadata)
    if change_metadata:
        changed_text = change_metadata(metadata)
        text = changed_text if isinstance(changed_text, str) else json.dumps(metadata)
    save_file(tensors, path, {"brianbridge": text})
    return path


def refused(path):
    with pytest.raises(TrainedFileError) as caught:
        bb.Trained.load(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_missing_empty_truncated_or_other_files(content, tmp_path):
    path = tmp_path / "network.safetensors"
    assert "There is no file" in refused(path)
    for part in (0, 4, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:part])
        assert "is not a trained network" in refused(path)
    path.write_bytes(b"\x80\x04pickle" * 50)
    assert "is not a trained network" in refused(path)
    save_file({"weights": np.zeros(3)}, path)
    assert "not one of brianbridge" in refused(path)
    save_file({"weights": np.zeros(3)}, path, {"brianbridge": "[1, 2"})
    assert "is not a trained network" in refused(path)


def test_sizes_that_the_file_does_not_have(tmp_path):
    header = json.dumps({"cells.v": {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}})
    path = tmp_path / "network.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(64))
    assert "is not a trained network" in refused(path)
    path.write_bytes((10**15).to_bytes(8, "little") + bytes(64))
    assert "is not a trained network" in refused(path)


def deep(metadata):
    return "[" * 100_000 + "]" * 100_000


def deep_model(metadata):
    for _ in range(60):
        metadata["model"] = {"mapping": {"a": metadata["model"]}}


def group(metadata, name="cells"):
    return next(g for g in metadata["model"]["groups"] if g["name"] == name)


CHANGES = {
    "another schema": (lambda m: m.update(schema=99), "another version"),
    "no schema": (lambda m: m.clear(), "another version"),
    "a list": (lambda m: "[1]", "another version"),
    "deep JSON": (deep, "not a trained network"),
    "a deep model": (deep_model, "nested too deeply"),
    "an unknown class": (lambda m: m["model"].update({"class": "Popen"}), "unknown part 'Popen'"),
    "an unknown field": (lambda m: m["model"].update(extra=1), "not a stored model"),
    "a missing field": (lambda m: m["model"].pop("schedule"), "not a stored model"),
    "a wrong type": (lambda m: group(m).update(equations=5), "equations = 5"),
    "groups of text": (lambda m: m["model"].update(groups=["cells"]), "not a stored model"),
    "no groups": (lambda m: m["model"].update(groups=None), "not a stored model"),
    "a huge group": (lambda m: group(m).update(n=10**15), "not a possible number"),
    "a negative group": (lambda m: group(m).update(n=-1), "not a possible number"),
    "another size": (lambda m: group(m).update(n=5), "cells.I_syn has shape|cells.* has shape"),
    "a time step of zero": (lambda m: group(m).update(dt=0.0), "not a time step"),
    "a time step that is no number": (lambda m: group(m).update(dt=float("nan")), "not a time step"),
    "wrong units": (
        lambda m: group(m)["constants"]["mapping"]["sigma"].update(dimensions={"dimensions": [1]}),
        "seven SI units",
    ),
    "an array that is missing": (
        lambda m: group(m)["values"]["mapping"].update(v={"array": "nowhere"}),
        "nowhere",
    ),
    "an array for a number": (lambda m: group(m).update(n={"array": "rec.w"}), "not a stored model"),
    "unknown synapses": (lambda m: group(m, "rec").update(source=["nobody", None, None]), "nobody"),
    "part of a group": (lambda m: group(m, "rec").update(source=["cells", 4, 99]), "no such part|fit"),
    "history": (lambda m: m.update(history=[]), "'history' is not what it should be"),
    "another hash": (lambda m: m.update(model_hash="0" * 64), "does not have the hash"),
    "other equations": (lambda m: group(m).update(equations="dv/dt = -v/ms : volt"), "hash|not a stored"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_metadata_that_is_wrong(content, tmp_path, change):
    import re

    function, says = CHANGES[change]
    message = refused(rewritten(content, tmp_path / "network.safetensors", function))
    assert re.search(says, message), message


def set_first(name, value):
    def change(tensors):
        tensors[name] = tensors[name].copy()
        tensors[name].reshape(-1)[0] = value

    return change


@pytest.mark.parametrize(
    "change, says",
    [
        (set_first("rec.w", np.nan), "rec.w contains NaN"),
        (set_first("rec.i", 77), "do not fit the size of cells"),
        (set_first("rec.i", -1), "do not fit the size of cells"),
        (set_first("rec.w", 1.0), "does not have the hash"),
        (lambda t: t.update({"rec.w": np.zeros(7)}), "rec.w has shape"),
        (lambda t: t.update({"rec.w": np.zeros((30, 1))}), "rec.w has shape"),
        (lambda t: t.update({"rec.i": np.zeros(30)}), "do not fit"),
        (lambda t: t.update({"rec.j": np.zeros(3, np.int32)}), "30 i, but 3 j"),
        (lambda t: t.pop("cells.v"), "cells.v"),
        (lambda t: t.update({"rec.pre.delay": np.array(-1.0)}), "negative delay"),
    ],
)
def test_tensors_that_are_wrong(content, tmp_path, change, says):
    assert says in refused(rewritten(content, tmp_path / "network.safetensors", change_tensors=change))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8)), min_size=1, max_size=4),
    cut=st.none() | st.floats(0, 1),
)
def test_any_damage_is_noticed(content, tmp_path, edits, cut):
    """Bytes overwritten or cut off anywhere: an error of ours, or no damage to what the file holds."""
    damaged = bytearray(content)
    for place, data in edits:
        start = int(place * (len(damaged) - 1))
        damaged[start : start + len(data)] = data
    if cut is not None:
        damaged = damaged[: int(cut * len(damaged))]
    path = tmp_path / "network.safetensors"
    path.write_bytes(damaged)
    try:
        found = bb.Trained.load(path)
    except TrainedFileError:
        return
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert found.hash == json.loads(header["__metadata__"]["brianbridge"])["model_hash"]


# -- back into Brian2 ---------------------------------------------------------------------------------


def snapshot(net):
    live = {obj.name: obj for obj in net.objects}
    return {
        "cells": {n: np.array(live["cells"].variables[n].get_value()) for n in ("v", "tau_m", "R", "theta")},
        "rec": {"w": np.array(live["rec"].w_[:])},
        "w_in": {"w": np.array(live["w_in"].w_[:])},
        "stim": np.array(live["source"].namespace["stim"].values),
        "tau_syn": float(live["cells"].namespace["tau_syn"]),
    }


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all([equal(one[key], other[key]) for key in one])
    return np.array_equal(one, other)


def test_write_to_writes_the_same_bits():
    net, model = wrapped()
    trained = changed(model)
    before = snapshot(net)
    trained.write_to(net)
    after = snapshot(net)
    assert np.array_equal(after["cells"]["tau_m"], trained.values["cells.tau_m"])
    assert after["cells"]["R"] == trained.model["cells"].values["R"]
    assert np.array_equal(after["cells"]["v"], trained.values["cells.v"])
    assert np.array_equal(after["rec"]["w"], trained.values["rec.w"])
    assert np.array_equal(after["w_in"]["w"], trained.values["w_in.w"])
    assert np.array_equal(after["stim"], trained.values["stim"])
    assert after["tau_syn"] == trained.model["cells"].values["tau_syn"] != before["tau_syn"]
    assert np.array_equal(after["cells"]["theta"], before["cells"]["theta"])
    assert after["cells"]["tau_m"][0] == before["cells"]["tau_m"][0]  # masked


def test_the_users_network_takes_the_steps_of_the_surrogate():
    net, model = wrapped()
    trained = changed(model)
    exact = bb.Surrogate(trained.model, dtype=torch.float64, exact=True)
    inputs = np.random.rand(40, 1, 2)
    with torch.no_grad():
        records = exact({"stim": inputs}, duration=300 * ms, record=["cells", "cells.v", "cells.r"], seed=4)
    trained.write_to(net, trial={"inputs": {"stim": inputs[:, 0]}, "noise": records.noise})
    cells = next(obj for obj in net.objects if obj.name == "cells")
    spikes = SpikeMonitor(cells)
    states = StateMonitor(cells, ["v", "r"], record=True, when="end", dt=1 * ms)
    net.add(spikes, states)
    net.run(300 * ms)
    raster = np.zeros((300, 6), bool)
    raster[np.rint(spikes.t_ / 1e-3).astype(int), spikes.i] = True
    assert raster.sum() > 20
    assert np.array_equal(raster, records["cells"][:, 0].numpy() > 0.5)
    np.testing.assert_array_equal(states.v_.T, records["cells.v"][:, 0].numpy())
    np.testing.assert_array_equal(states.r.T, records["cells.r"][:, 0].numpy())


def test_a_trial_starts_from_its_initial_state():
    net, model = wrapped()
    trained = changed(model)
    start = np.linspace(-70e-3, -60e-3, 6)
    trained.write_to(net, trial={"initial": {"cells.v": start, "cells.r": 0.5}})
    cells = next(obj for obj in net.objects if obj.name == "cells")
    assert np.array_equal(cells.v_, start)
    assert np.all(cells.r_[:] == 0.5)


@pytest.mark.parametrize(
    "trial, error, says",
    [
        (
            {"inputs": {"stim": np.zeros((7, 2))}},
            ValueError,
            r"Make it as long as a trial: TimedArray\(zeros",
        ),
        ({"inputs": {"stimm": np.zeros((40, 2))}}, KeyError, "no timed input 'stimm'"),
        ({"initial": {"cells.v": np.zeros(3)}}, ValueError, "cells.v has the shape"),
        ({"initial": {"cells.x": np.zeros(6)}}, KeyError, "cells has no variable 'x'"),
        ({"initial": {"cell.v": np.zeros(6)}}, KeyError, "no object 'cell'"),
        ({"input": {}}, KeyError, "not 'input'"),
    ],
)
def test_a_trial_that_does_not_fit_writes_nothing(trial, error, says):
    net, model = wrapped()
    before = snapshot(net)
    with pytest.raises(error, match=says):
        changed(model).write_to(net, trial=trial)
    assert equal(snapshot(net), before)


def test_a_network_that_was_trained_with_coarser_steps():
    """Its values are written; the random numbers of its steps would be others in the steps of the network."""
    net, cells, *_ = small_network()
    coarse = changed(bb.wrap(net, train={cells.tau_m: None}, dt=2 * ms))
    noise = {"cells_stateupdater/0": np.zeros((5, 1, 6))}
    with pytest.raises(ValueError, match=r"steps of 2 ms, but .* has steps of 1 ms .*trained.network\(\)"):
        coarse.write_to(net, trial={"noise": noise})
    coarse.write_to(net)
    assert np.array_equal(cells.tau_m_, coarse.values["cells.tau_m"] / second)
    coarse.write_to(coarse.network(), trial={"noise": noise})


def test_networks_that_do_not_fit_are_refused_and_nothing_is_written(trained):
    names = dict(
        v_rest=-70 * mV, tau_syn=1 * ms, sigma=0 * mV / sqrt(ms), stim=TimedArray(np.zeros((40, 2)), dt=ms)
    )
    larger = NeuronGroup(
        7,
        trained.model["cells"].equations.rpartition("\n")[0],
        threshold="v > theta",
        reset="v = v_rest",
        namespace=names,
        name="cells",
    )
    links = Synapses(larger, larger, "w : amp", on_pre="I_syn_post += w", name="rec")
    links.connect(j="i")
    others = [NeuronGroup(2, "u = stim(t, i) : 1", namespace=names, name="source")]
    before = np.array(larger.tau_m_[:])
    with pytest.raises(
        ValueError, match=r"cells.tau_m has the shape \(7,\) in this network, but \(6,\) was trained"
    ):
        trained.write_to(Network(larger, links, *others))
    assert np.array_equal(before, larger.tau_m_[:])
    with pytest.raises(KeyError, match="The network has no object 'cells'; it has source"):
        trained.write_to(Network(*others))


def test_other_connections_of_the_same_number_are_refused():
    trained = changed(wrapped()[1])
    other, *_ = small_network()
    rec = next(obj for obj in other.objects if obj.name == "rec")
    cells = rec.source
    other.remove(rec)
    permuted = Synapses(
        cells, cells, "w : amp", on_pre="I_syn_post += w", delay=2 * ms, name="rec", dt=1 * ms
    )
    permuted.connect(i=np.array(rec.j[:]), j=np.array(rec.i[:]))
    other.add(permuted)
    before = snapshot(other)
    with pytest.raises(ValueError, match="rec connects other neurons"):
        trained.write_to(other)
    assert equal(snapshot(other), before)


def test_stored_states_are_warned_of():
    net, model = wrapped()
    trained = changed(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.write_to(net)
    net.store()
    with pytest.warns(UserWarning, match=r"Call network.store\(\) again"):
        trained.write_to(net)


def test_a_network_that_ran():
    net, cells, _, rec, _ = small_network()
    parameters = changed(bb.wrap(net, train={rec.w: None, "tau_syn": None}))
    states = changed(bb.wrap(net, train={rec.w: None, cells.v: None}))
    net.store()
    net.run(3 * ms)
    with pytest.warns(UserWarning):
        parameters.write_to(net)
    assert np.array_equal(rec.w_[:], parameters.values["rec.w"])
    weights = np.array(rec.w_[:])
    with pytest.raises(
        ValueError, match="cells.v was trained as the state at t = 0 s, but this network is at"
    ):
        states.write_to(net)
    with pytest.raises(ValueError, match="A trial starts at t = 0 s"):
        parameters.write_to(net, trial={"initial": {}})
    assert np.array_equal(rec.w_[:], weights)


def test_constants_of_a_script_and_arrays_of_a_script():
    """Nothing in the groups' own namespaces: the values that the script's names had are overruled."""
    tau = 10 * ms
    drive = TimedArray(np.ones(20), dt=1 * ms)
    one = NeuronGroup(1, "dv/dt = (drive(t) - v)/tau : 1", method="euler", name="one")
    net = Network(one)
    model = bb.wrap(net, train={"tau": None, drive: None})
    model = model.with_values({("one", "tau"): np.array(5e-3), ("", "drive"): np.full(20, 2.0)})
    bb.Trained(model=model).write_to(net)
    assert np.all(drive.values == 2)
    net.run(5 * ms)
    assert tau == 10 * ms
    assert one.v[0] == pytest.approx(2 * (1 - (1 - 0.1 / 5) ** 50))


def test_a_rebuilt_network_is_ordinary(trained):
    network = trained.network()
    assert isinstance(network, Network)
    assert np.array_equal(network["rec"].w_[:], trained.values["rec.w"])
    assert network["cells"].clock.dt == 1 * ms
    finer = trained.network(dt=0.25 * ms)
    assert finer["cells"].clock.dt == 0.25 * ms
    monitor = SpikeMonitor(finer["cells"])
    finer.add(monitor)
    finer.run(20 * ms)
    assert trained.model.live().inputs["stim"].values.shape == (40, 2)


def test_a_rebuilt_network_is_built_for_a_standalone_device(trained, tmp_path):
    with standalone(directory=str(tmp_path / "cpp")):
        network = trained.network(dt=0.5 * ms)
        network.run(10 * ms)
        device.build(compile=False, run=False, directory=str(tmp_path / "cpp"))
        code = (tmp_path / "cpp" / "main.cpp").read_text()
    assert "cells" in code
    stored = np.fromfile(next((tmp_path / "cpp" / "static_arrays").glob("*rec_w*")))
    assert np.array_equal(stored, trained.values["rec.w"])
