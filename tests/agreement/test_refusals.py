"""What cannot be bridged is refused all at once, with names, quotations and remedies."""

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.generation.frozen_noise import freeze_noise, thaw_noise
from brianbridge.generation.schedule import program_of, refusals_of_code
from brianbridge.model.capture import capture
from brianbridge.model.rebuild import rebuild
from brianbridge.model.refusals import Refused
from brianbridge.surrogate.module import Surrogate
from tests.agreement.comparison import agree
from tests.agreement.differentiation import trained


def refusals_of(network, namespace=None):
    try:
        model = capture(network, namespace or {})
    except Refused as refused:
        return [*refused.refusals, *refusals_of_code(refused.rest)]
    with pytest.raises(Refused) as caught:
        program_of(model, rebuild(model))
    return list(caught.value.refusals)


def one_refusal(network, name, *quoted, namespace=None):
    found = [r for r in refusals_of(network, namespace) if r.object == name]
    assert len(found) == 1, found
    for text in quoted:
        assert text in found[0].construct, found[0].construct
    assert len(found[0].remedy) > 15
    return found[0]


def simple(name="cells", **options):
    options = {"threshold": "v > 1", "reset": "v = 0", "method": "euler"} | options
    return NeuronGroup(3, "dv/dt = (2 - v)/(10*ms) : 1\nI : 1", name=name, **options)


@implementation("cython", "cdef double only_numpy(double x): return x")
@check_units(x=1, result=1)
def only_numpy(x):
    return np.tanh(x)


@implementation("torch", lambda x: torch.tanh(x) * x)
@check_units(x=1, result=1)
def tanh_times_x(x):
    return np.tanh(x) * x


class OwnNeurons(NeuronGroup):
    """A group that does something of its own in every run."""

    def before_run(self, run_namespace):
        self.v = 0
        super().before_run(run_namespace)


class NamedNeurons(NeuronGroup):
    """A group that only chooses its equations."""

    def __init__(self, n, name):
        equations = "dv/dt = (2 - v)/(10*ms) : 1"
        super().__init__(n, equations, threshold="v > 1", reset="v = 0", method="euler", name=name)


@pytest.mark.refused(
    "Networks: NetworkOperation and classes that override run methods",
    why="what Python code does has no equations",
)
def test_objects_that_do_what_no_equation_says():
    cells, own = simple(), OwnNeurons(2, "v : 1", name="own")
    named = NamedNeurons(2, "named")

    @network_operation
    def stimulate():
        cells.v = 0

    found = {r.object: r for r in refusals_of(Network(cells, own, named, stimulate))}
    assert {stimulate.name, "own"} == set(found)
    assert "'stimulate()'" in found[stimulate.name].construct
    assert "run_regularly" in found[stimulate.name].remedy
    assert "OwnNeurons" in found["own"].construct
    assert agree(Network(named), 100).total_spikes > 0


def test_connected_to_something_outside_of_the_network():
    cells, outside = simple(), simple("outside")
    synapses = Synapses(outside, cells, on_pre="v_post += 1", name="synapses")
    synapses.connect()
    one_refusal(Network(cells, synapses), "synapses", "'outside'")


@pytest.mark.refused("Neurons: SpatialNeuron", why="its cable equation is solved implicitly")
def test_spatial_neuron():
    neuron = SpatialNeuron(
        Cylinder(length=50 * um, diameter=2 * um, n=3), "Im = 0*amp/meter**2 : amp/meter**2", name="dendrite"
    )
    one_refusal(Network(neuron), "dendrite", "SpatialNeuron")


@pytest.mark.refused("State updaters: GSL", why="their steps depend on the data")
def test_gsl():
    cells = simple(method="gsl_rk4")
    one_refusal(Network(cells), "cells", "gsl_rk4")


@pytest.mark.refused("Schedule: run_at", why="it has no time step")
def test_run_at_quotes_the_code():
    cells = simple()
    cells.run_at("v = 0.5*v", times=[1, 3] * ms)
    one_refusal(Network(cells), "cells", "run_at('v = 0.5*v')")


def test_linked_to_nothing():
    cells = simple()
    others = NeuronGroup(3, "x : 1 (linked)", name="others")
    one_refusal(Network(cells, others), "others", "'x'", "linked to nothing")


@pytest.mark.refused("Neurons: links through an index that changes", why="their index is taken at the start")
def test_linked_through_an_index_that_changes():
    cells = simple()
    others = NeuronGroup(
        3, "x : 1 (linked)\nm : integer\ndy/dt = (x - y)/ms : 1", method="euler", name="others"
    )
    others.x = linked_var(cells, "v", index="m")
    others.run_regularly("m = (m + 1) % 3", dt=1 * ms)
    one_refusal(Network(cells, others), "others_stateupdater", "'x'", "'others.m'")


@pytest.mark.refused("Inputs: two spikes of a neuron in one step", why="a spike is there or not")
def test_two_spikes_in_one_step():
    """Brian2 finds only those that are neighbours in its list."""
    generator = SpikeGeneratorGroup(2, [0, 1, 0], [1.01, 1.02, 1.03] * ms, name="generator")
    one_refusal(Network(generator), "generator", "neuron 0 spikes at 1.01 ms and at 1.03 ms", "0.1 ms")


@pytest.mark.refused(
    "Equations: functions without a torch implementation", why="nobody says what they are in torch"
)
def test_function_without_torch_implementation():
    cells = NeuronGroup(3, "dv/dt = (1 - only_numpy(v))/ms : 1", method="euler", name="cells")
    found = one_refusal(
        Network(cells), "cells_stateupdater", "'only_numpy'", namespace={"only_numpy": only_numpy}
    )
    assert "@implementation('torch'" in found.remedy


def test_function_that_no_step_calls():
    cells = NeuronGroup(2, "dv/dt = -v/(10*ms) : 1\nshown = only_numpy(v) : 1", method="exact", name="cells")
    cells.v = [1, 2]
    surrogate = Surrogate(capture(Network(cells), globals()), dtype=torch.float64)
    last = surrogate(duration=10 * ms, record=["cells.v"])["cells.v"][-1, 0]
    assert np.allclose(last.detach(), [np.exp(-1), 2 * np.exp(-1)])
    with pytest.raises(Refused, match="only_numpy"):
        surrogate(duration=1 * ms, record=["cells.shown"])


@pytest.mark.refused(
    "Synapses: statements that depend on the order of synapses",
    why="Brian2 itself calls their result undefined",
)
def test_order_dependent_synapses():
    cells = simple()
    synapses = Synapses(cells, cells, "w : 1", on_pre="v_post += w*v_post", name="rec")
    synapses.connect()
    one_refusal(Network(cells, synapses), "rec_pre", "v_post += w*v_post", "order")


@pytest.mark.refused(
    "Synapses: x_post = ... of a variable flagged (unless refractory)",
    why="Brian2's targets disagree about it",
)
def test_assignment_to_a_variable_that_stands_still_while_refractory():
    cells = NeuronGroup(
        3,
        "dv/dt = -v/ms : 1 (unless refractory)",
        threshold="v > 1",
        refractory=1 * ms,
        method="euler",
        name="cells",
    )
    synapses = Synapses(cells, cells, on_pre="v_post = 0.5", name="rec")
    synapses.connect()
    one_refusal(Network(cells, synapses), "rec_pre", "v_post = 0.5", "unless refractory")


@pytest.mark.refused("Schedule: clocks without a common step", why="there is no common grid of steps")
def test_clocks_without_a_common_grid():
    one, two = simple("one", dt=0.2 * ms), simple("two", dt=0.31416 * ms)
    one_refusal(Network(one, two), "two", "0.31416 ms")


def test_a_name_that_is_not_defined():
    cells = NeuronGroup(3, "dv/dt = -v/taux : 1", method="euler", name="cells")
    one_refusal(Network(cells), "cells_stateupdater", "taux")


def test_everything_at_once():
    cells = simple()
    cells.run_at("v = 0.5*v", times=[1] * ms)
    gsl = simple("gsl_cells", method="gsl")
    operation = NetworkOperation(lambda: None, name="operation")
    wrong = Synapses(cells, cells, "w : 1", on_pre="v_post += w*v_post", name="wrong")
    odd = NeuronGroup(3, "dv/dt = (1 - only_numpy(v))/ms : 1", method="euler", name="odd")
    wrong.connect()
    found = refusals_of(Network(cells, gsl, operation, wrong, odd), {"only_numpy": only_numpy})
    assert {"cells", "gsl_cells", "operation", "wrong_pre", "odd_stateupdater"} == {r.object for r in found}
    text = str(Refused(found))
    assert "5 reasons" in text
    assert text.count("->") == 5


@pytest.mark.agrees("Equations: functions of your own with @implementation('torch', ...)")
@pytest.mark.differentiable("Equations: functions of your own with @implementation('torch', ...)")
def test_user_function_with_torch_implementation():
    cells = NeuronGroup(
        4,
        "dv/dt = (a - tanh_times_x(v) + 0.1*tanh_times_x(t/ms))/ms : 1\na : 1 (constant)",
        threshold="v > 1",
        reset="v = 0",
        method="rk2",
        name="cells",
    )
    cells.a = "1 + 0.2*i"
    network = Network(cells)
    model = trained(network, ("cells", "a"), namespace=globals())
    surrogate = Surrogate(model, dtype=torch.float64)
    surrogate(duration=0.4 * ms, record=["cells.v"])["cells.v"][-1].sum().backward()
    assert (surrogate.parameter[0].raw.grad > 0.1).all()
    assert agree(network, 200).total_spikes > 4


def test_brian2_is_left_as_found():
    prefs.codegen.target = "cython"
    device, clock = get_device(), float(defaultclock.dt)
    cells = simple()
    model = capture(Network(cells), {})
    surrogate = Surrogate(model)
    surrogate(duration=1 * ms, record=["cells.v"])
    assert get_device() is device
    assert prefs.codegen.target == "cython"
    assert float(defaultclock.dt) == clock
    assert cells.name == "cells"


# -- frozen noise -----------------------------------------------------------------------------------------


def noisy():
    cells = NeuronGroup(
        3,
        "dv/dt = -v/(10*ms) + xi*(10*ms)**-0.5 : 1",
        threshold="v > 0.5",
        reset="v = rand()",
        method="euler",
        name="cells",
    )
    return cells


def run_frozen(noise, steps=30, trial=0):
    cells = noisy()
    network = Network(cells)
    freeze_noise(network, noise, trial)
    monitor = StateMonitor(cells, "v", record=True)
    network.add(monitor)
    network.run(steps * defaultclock.dt)
    return np.array(monitor.v)


def frozen_numbers(steps=30, batch=2):
    return {
        "cells_stateupdater/0": np.random.randn(steps, batch, 3),
        "cells_spike_resetter/0": np.random.rand(steps, batch, 3),
    }


def test_frozen_noise_replays_a_trial():
    noise = frozen_numbers()
    first, again, other = run_frozen(noise), run_frozen(noise), run_frozen(noise, trial=1)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    single = {key: value[:, 1] for key, value in noise.items()}
    np.testing.assert_array_equal(other, run_frozen(single))


def test_frozen_noise_is_replaced_and_thawed():
    noise, others = frozen_numbers(), frozen_numbers()
    cells = noisy()
    network = Network(cells)
    monitor = StateMonitor(cells, "v", record=True)
    network.add(monitor)
    network.store()
    results = []
    for numbers in (noise, others, noise):
        network.restore()
        freeze_noise(cells, numbers)
        network.run(30 * defaultclock.dt)
        results.append(np.array(monitor.v))
    np.testing.assert_array_equal(results[0], results[2])
    assert np.abs(results[0] - results[1]).max() > 0.1
    thaw_noise(network)
    for _ in range(2):
        network.restore()
        network.run(30 * defaultclock.dt)
        results.append(np.array(monitor.v))
    assert np.abs(results[3] - results[4]).max() > 0.1


def test_frozen_noise_says_what_is_missing():
    with pytest.raises(BrianObjectException) as caught:
        run_frozen({"cells_stateupdater/0": np.zeros((30, 3))})
    assert "cells_spike_resetter/0" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="steps, batch, n"):
        run_frozen({"cells_stateupdater/0": np.zeros(30)})


def test_random_numbers_more_often_than_the_group_has_steps_cannot_be_frozen():
    cells = NeuronGroup(3, "v : 1", dt=1 * ms, name="cells")
    cells.run_regularly("v = rand()", dt=0.1 * ms)
    network = Network(cells)
    freeze_noise(network, {"cells_run_regularly/0": np.zeros((10, 3))})
    with pytest.raises(BrianObjectException) as caught:
        network.run(1 * ms)
    (refusal,) = caught.value.__cause__.refusals
    assert refusal.object == "cells_run_regularly"
    assert "draws random numbers every 100. us" in refusal.construct


def test_random_numbers_in_synapses_are_drawn_by_the_surrogate():
    cells = NeuronGroup(40, "v : 1\nx : 1", threshold="i < 20", name="cells")
    synapses = Synapses(cells[:20], cells[20:], on_pre="x_post += int(rand() < 0.25)", name="rec")
    synapses.connect(j="i")
    surrogate = Surrogate(capture(Network(cells, synapses), {}), dtype=torch.float64)
    records = surrogate(duration=20 * ms, record=["cells.x"], seed=1)
    assert records["cells.x"][-1].sum() / (20 * 200) == pytest.approx(0.25, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cython", "cpp_standalone"])
def test_frozen_noise_on_other_targets(target, tmp_path):
    noise = frozen_numbers()
    expected = run_frozen(noise)
    if target == "cython":
        prefs.codegen.target = "cython"
        np.testing.assert_allclose(run_frozen(noise), expected, rtol=1e-12)
        return
    set_device("cpp_standalone", directory=str(tmp_path))
    np.testing.assert_allclose(run_frozen(noise), expected, rtol=1e-12)
