"""`Model`: read from a live network, frozen, hashed, stored as text and arrays, and built again."""

import gc

import numpy as np
import pytest
import torch
from brian2 import *
from brian2.core import names

import brianbridge as bb
from brianbridge.generation.frozen_noise import freeze_noise
from brianbridge.model import rebuild
from brianbridge.model.equation_text import unit_text, variable_dimensions
from brianbridge.model.storage import StorageError, model_from_parts, model_to_parts
from tests.networks import small_network, standalone


@pytest.fixture(scope="module")
def model():
    start_scope()
    np.random.seed(0)
    net, cells, _, rec, stim = small_network()
    train = {
        cells.tau_m: bb.Bounds(5 * ms, 50 * ms, mask=np.arange(6) < 4),
        rec.w: bb.Dale(by="absolute", tie="i"),
        cells.theta: bb.Free(tie=np.array([0, 0, 1, 1, 2, 2]), unit=uvolt),
        stim: bb.Positive(),
        "sigma": None,
    }
    return bb.wrap(net, train=train)


def everything():
    """A network with what Brian2's own text does not keep in one place."""
    cells = NeuronGroup(
        7,
        """dv/dt = (g*(1.5 - v) - u)/(10*ms) : 1 (unless refractory)
        du/dt = -u/tau_u : 1
        g = 1.0 + 0.5*sin(2*pi*t/(20*ms)) + 0.1*rand() : 1 (constant over dt)
        total : 1
        tau_u : second (shared)
        kind : integer (constant)
        awake : boolean
        rest = v - u : 1""",
        threshold="v > 1 and awake",
        reset="v = 0; u += 0.1",
        refractory="2*ms + kind*ms",
        events={"low": "v < -0.2"},
        method="heun",
        name="cells",
        order=2,
        dt=0.2 * ms,
    )
    cells.run_on_event("low", "u = 0")
    cells.set_event_schedule("low", when="after_thresholds")
    cells.tau_u, cells.kind, cells.awake, cells.v = 30 * ms, "i % 2", "i > 0", "rand()"
    rec = Synapses(
        cells[:4],
        cells[2:],
        """w : 1
        dx/dt = -x/(20*ms) : 1 (event-driven)
        ds/dt = -s/(5*ms) : 1 (clock-driven)
        total_post = s : 1 (summed)""",
        on_pre={"up": "s += w; x += 1", "later": "x += 0.1"},
        on_post="w = clip(w - 0.01*x, 0, 1)",
        delay={"later": 3 * ms},
        method="exponential_euler",
        multisynaptic_index="number",
        name="rec",
        dt=0.2 * ms,
    )
    rec.connect(p=0.7, n=2)
    rec.w = "0.3*rand()"
    rec.up.delay = "rand()*4*ms"
    rec.up.order = -3
    return Network(cells, rec)


def states(live, duration, noise=None):
    """Spikes, states and weights of a run."""
    network, cells, rec = live.network, live["cells"], live["rec"]
    monitors = [
        SpikeMonitor(cells),
        StateMonitor(cells, ["v", "u", "total", "rest"], record=True),
        StateMonitor(rec, ["w", "s", "x"], record=True),
    ]
    network.add(*monitors)
    if noise:
        freeze_noise(network, noise)
    network.run(duration)
    spikes, first, second_ = monitors
    found = [spikes.i, spikes.t_, first.v, first.u, first.total, first.rest]
    return [np.array(x) for x in [*found, second_.w, second_.s, second_.x]]


def test_rebuilt_network_takes_the_same_steps():
    original = everything()
    model = bb.wrap(original)
    noise = {key: np.random.rand(500, 7) for key in ["cells_subexpression_update/0"]}

    class Original:
        network = original

        def __getitem__(self, name):
            return original[name]

    expected = states(Original(), 100 * ms, noise)
    assert len(expected[0]) > 30 and expected[-3].std() > 0
    again = bb.wrap(model.network())
    assert again.hash == model.hash
    for found in (states(model.live(), 100 * ms, noise), states(again.live(), 100 * ms, noise)):
        for one, other in zip(expected, found):
            assert np.array_equal(one, other)


def test_description_says_what_was_built():
    model = bb.wrap(everything())
    cells, rec = model["cells"], model["rec"]
    assert cells.refractory == "2*ms + kind*ms"
    assert cells.schedule["threshold low"][0] == "after_thresholds"
    assert cells.order == 2 and cells.method == "heun" and cells.dt == 0.2e-3
    assert rec.source == ("cells", 0, 4) and rec.target == ("cells", 2, 7)
    assert rec.multisynaptic_index == "number"
    assert {p.name: p.delay.shape for p in rec.pathways} == {"up": (rec.n,), "later": (), "post": (rec.n,)}
    assert rec.schedule["pathway up"][1] == -3
    assert cells.values["kind"].dtype == np.int32 and cells.values["awake"].dtype == bool
    assert set(cells.subexpressions()) == {"g", "rest"}
    assert model.dimensions(("cells", "tau_u")) is second.dim
    with pytest.raises(KeyError, match="has no group 'cell'; it has cells, rec"):
        model["cell"]


def test_frozen(model):
    with pytest.raises(ValueError, match="read-only"):
        model["cells"].values["v"][0] = 1
    with pytest.raises(TypeError):
        model["cells"].values["v"] = 1
    with pytest.raises(AttributeError):
        model.source = "elsewhere"


def test_changing_the_network_afterwards_does_not_change_the_model():
    net, cells, _, rec, stim = small_network()
    model = bb.wrap(net)
    before = model.hash
    cells.v, rec.w, stim.values[:] = 0 * mV, 0 * pA, 5
    assert model.hash == before


def test_hash_knows_every_difference(model):
    others = [
        model.with_values({("rec", "w"): model["rec"].values["w"] * (1 + 2e-16)}),
        model.with_values({("", "stim"): np.zeros((40, 2))}),
        model.with_values({("cells", "sigma"): np.array(0.1)}),
        model.with_dt(0.5 * ms),
        bb.wrap(model.network()),
    ]
    hashes = {model.hash, *(other.hash for other in others)}
    assert len(hashes) == 1 + len(others)
    assert model.with_values({("rec", "w"): model["rec"].values["w"]}).hash == model.hash


def test_text_and_arrays_and_back(model):
    text, arrays = model_to_parts(model)
    again = model_from_parts(text, {name: array.copy() for name, array in arrays.items()})
    assert again.hash == model.hash
    assert [t.name for t in again.trainable] == [t.name for t in model.trainable]
    for one, other in zip(model.trainable, again.trainable):
        assert type(one.constraint) is type(other.constraint)
        assert one.dimensions is other.dimensions
        assert np.array_equal(one.constraint.mask, other.constraint.mask)
        assert np.array_equal(one.constraint.tie, other.constraint.tie)
    assert again.trainable[2].constraint.unit == uvolt
    assert {
        "cells.tau_m",
        "rec.w",
        "rec.i",
        "rec.pre.delay",
        "stim",
        "cells.tau_m.mask",
        "cells.theta.tie",
    } <= set(arrays)
    everything_again = bb.wrap(everything())
    assert model_from_parts(*model_to_parts(everything_again)).hash == everything_again.hash


def test_text_that_is_no_model():
    for text in (
        "",
        "[]",
        "3",
        '{"class": "Bounds", "low": 1, "high": 2}',
        '{"mapping": {}}',
        '{"array": "x"}',
    ):
        with pytest.raises(StorageError):
            model_from_parts(text, {})


@pytest.mark.parametrize("word", ['"thresholds"', '"cells"'])
def test_names_in_a_file_are_one_word(model, word):
    """Slots and names end up in generated code; a line break in one must not begin a line of its own."""
    text, arrays = model_to_parts(model)
    assert word in text
    hostile = text.replace(word, word[:-1] + '\\nimport os"')
    with pytest.raises(StorageError):
        model_from_parts(hostile, arrays)


def test_values_are_checked(model):
    with pytest.raises(ValueError, match=r"cells.v has shape \(6,\), but values of shape \(5,\)"):
        model.with_values({("cells", "v"): np.zeros(5)})
    with pytest.raises(ValueError, match=r"cells.v contain NaN or infinity"):
        model.with_values({("cells", "v"): np.full(6, np.inf)})
    with pytest.raises(KeyError, match="no timed input 'stin'; it has stim"):
        model.with_inputs({"stin": np.zeros(3)})


def test_another_time_step(model):
    finer = model.with_dt(0.25 * ms)
    assert finer.dt == 0.25e-3
    live = finer.live()
    assert live["cells"].clock.dt == 0.25 * ms
    assert live.inputs["stim"].dt == 1e-3  # inputs are held on their own
    assert live["rec"].pre.delay == 2 * ms
    assert bb.Surrogate(finer)(duration=3 * ms, record="cells.v")["cells.v"].shape[0] == 12


def test_inputs_of_another_length(model):
    network = model.with_inputs({"stim": np.full((5, 2), 2.0)}).network()
    assert np.all(network["source"].namespace["stim"].values == 2)
    network.run(8 * ms)


def test_a_rebuilt_network_needs_no_names_of_the_script(model):
    v_rest = 3 * ms  # not what the equations mean
    network = model.network()
    network.run(2 * ms)
    assert v_rest == 3 * ms


def test_units_are_written_as_brian2_reads_them_in_equations():
    units = ["volt**2", "siemens/meter**2", "volt*amp/(metre*second**2)", "mole**3/farad", "1/(ohm*second)"]
    dimensions = {f"x{i}": eval(unit).dim for i, unit in enumerate(units)}
    # Brian2 shows 'volt2' for the first and, once it has read it in a script, brackets for the second
    lines = ["x0 : volt**2", "x1 : siemens/meter**2"]
    lines += [f"{name} : {unit_text(dimensions[name])}" for name in ("x2", "x3", "x4")]
    group = NeuronGroup(1, "\n".join([*lines, "dv/dt = -v/(10*ms) : volt**2"]), method="euler", name="g")
    model = bb.wrap(Network(group))
    found = variable_dimensions(model["g"].equations)
    assert {name: found[name] for name in dimensions} == dimensions


def test_empty_projection():
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1", threshold="v > 1", reset="v = 0", method="euler")
    rec = Synapses(cells, cells, "w : 1", on_pre="v_post += w", name="rec")
    rec.connect(False)
    model = bb.wrap(Network(cells, rec))
    assert model["rec"].n == 0
    model.network().run(1 * ms)
    with pytest.raises(bb.Refused, match="'w' cannot be trained: rec is empty"):
        bb.wrap(Network(cells, rec), train={rec.w: None})


def test_refusals_come_all_at_once_with_remedies():
    cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1\nx : 1", method="gsl", name="cells")
    other = NeuronGroup(2, "y : 1 (linked)", name="other")
    cells.run_at("x = 0", times=[5] * ms)

    @network_operation(name="operation")
    def nothing():
        pass

    with pytest.raises(bb.Refused) as caught:
        bb.wrap(Network(cells, other, nothing))
    named = {refusal.object for refusal in caught.value.refusals}
    assert named == {"cells", "other", "operation"}
    text = str(caught.value)
    assert "run_at('x = 0')" in text and "run_regularly" in text and "GSL" in text and "'y' (linked)" in text


def test_every_kind_of_part_is_stored():
    cells = NeuronGroup(3, "dv/dt = -v/(5*ms) : volt\nx : 1", method="euler", name="cells")
    source = NeuronGroup(3, "z : volt (linked)", name="source")
    source.z = linked_var(cells, "v", index=[2, 0, 1])
    cells[1:].run_regularly("x = rand()", dt=2 * ms)
    poisson = PoissonGroup(2, "10*Hz*(1 + i)", name="poisson")
    generator = SpikeGeneratorGroup(2, [0, 1], [1, 2] * ms, period=5 * ms, name="generator")
    synapses = Synapses(poisson, cells, "w : volt", on_pre="v_post += w", delay=3 * ms, name="synapses")
    synapses.connect()
    onto = Synapses(generator, synapses, on_pre="w_post += 1*mV", name="onto")
    onto.connect(j="i")
    drive = PoissonInput(cells[:2], "v", 10, 100 * Hz, 0.1 * mV)
    model = bb.wrap(Network(cells, source, poisson, generator, synapses, onto, drive))
    text, arrays = model_to_parts(model)
    again = model_from_parts(text, arrays)
    assert again.hash == model.hash
    assert {type(g).__name__ for g in again.groups} == {
        "Neurons",
        "PoissonNeurons",
        "SpikeTimes",
        "Projection",
    }
    assert [type(op).__name__ for op in again["cells"].operations] == ["Operation", "PoissonDrive"]
    one, other = (
        bb.Surrogate(m, dtype=torch.float64)(duration=6 * ms, record=["cells.v"], seed=2)
        for m in (model, again)
    )
    assert torch.equal(one["cells.v"], other["cells.v"])


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ('"group": "source"', '"group": "nobody"', "is linked to 'nobody'"),
        ('"part": [1, 3]', '"part": [1, 4]', "is for no part of it"),
        ('"rate": 100.0', '"rate": -1.0', "no possible number or rate"),
        ('"period": 0.005', '"period": -1.0', "its period are impossible"),
        ('"name": "cells_subgroup_run_regularly"', '"name": "x; import os"', "is not a name"),
    ],
)
def test_impossible_parts_are_refused(old, new, problem):
    cells = NeuronGroup(3, "v : volt\ny : volt (linked)\nx : 1", name="cells")
    source = NeuronGroup(3, "z : volt", name="source")
    cells.y = linked_var(source, "z")
    cells[1:].run_regularly("x = 1", name="cells_subgroup_run_regularly")
    generator = SpikeGeneratorGroup(2, [0, 1], [1, 2] * ms, period=5 * ms, name="generator")
    drive = PoissonInput(cells, "v", 10, 100 * Hz, 0.1 * mV)
    text, arrays = model_to_parts(bb.wrap(Network(cells, source, generator, drive)))
    assert old in text
    with pytest.raises(StorageError, match=problem):
        model_from_parts(text.replace(old, new), arrays)


def test_a_standalone_device_is_refused():
    with standalone():
        cells = NeuronGroup(2, "dv/dt = -v/(5*ms) : 1", method="euler")
        with pytest.raises(bb.Refused, match=r"set_device\('runtime'\)"):
            bb.wrap(Network(cells))


def test_monitors_are_described():
    net, cells, _, rec, _ = small_network()
    net.add(
        SpikeMonitor(cells[1:4], variables=["v", "r"], name="spikes"),
        StateMonitor(cells, ["v", "r"], record=[4, 0], dt=2 * ms, when="resets", order=3, name="states"),
        StateMonitor(rec, "w", record=True, name="weights"),
        PopulationRateMonitor(cells, name="rate"),
    )
    net["rate"].active = False
    monitors = {monitor.name: monitor for monitor in bb.wrap(net).monitors}
    assert list(monitors) == ["rate", "spikes", "states", "weights"]
    states, spikes, rate, weights = (monitors[name] for name in ("states", "spikes", "rate", "weights"))
    assert (states.kind, states.group, states.part) == ("StateMonitor", "cells", None)
    assert (states.dt, states.when, states.order) == (2e-3, "resets", 3)
    assert states.variables == ("v", "r") and states.indices.tolist() == [4, 0]
    assert not states.indices.flags.writeable
    assert (spikes.kind, spikes.event, spikes.group, spikes.part) == (
        "SpikeMonitor",
        "spike",
        "cells",
        (1, 4),
    )
    assert (spikes.dt, spikes.when, spikes.order, spikes.variables) == (None, "thresholds", 2, ("r", "v"))
    assert weights.group == "rec" and weights.indices is None
    assert spikes.active and not rate.active


def test_monitors_are_no_part_of_the_steps():
    """Hash, files and the rebuilt network do not know them; a monitor is never the reason for a refusal."""
    net, cells, *_ = small_network()
    without = bb.wrap(net)
    net.add(SpikeMonitor(cells), StateMonitor(cells, "v", record=True))
    model = bb.wrap(net)
    assert len(model.monitors) == 2 and model.hash == without.hash
    assert model_from_parts(*model_to_parts(model)).monitors == ()
    assert not [obj for obj in model.network().objects if isinstance(obj, StateMonitor | SpikeMonitor)]
    assert model.with_dt(2 * ms).monitors == model.monitors
    cable = SpatialNeuron(Cylinder(length=1 * um, diameter=1 * um, n=2), "Im = 0*amp/meter**2 : amp/meter**2")
    with pytest.raises(bb.Refused) as caught:
        bb.wrap(Network(cable, cells, StateMonitor(cable, "v", record=True), SpikeMonitor(cells)))
    assert {refusal.object for refusal in caught.value.refusals} == {cable.name}


def test_names_are_found_while_no_garbage_is_collected(model, monkeypatch):
    """Brian2 looks at all objects that there are, twice each: none may vanish in between."""
    collected, find_name = [], names.find_name

    def watched(*arguments, **options):
        collected.append(gc.isenabled())
        return find_name(*arguments, **options)

    monkeypatch.setattr(names, "find_name", watched)
    rebuild.rebuild(model)
    assert collected and not any(collected) and gc.isenabled()
