"""Networks that have run already: time, refractoriness and events under way go on."""

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.bridge import wrap
from brianbridge.model.refusals import Refused
from brianbridge.model.storage import model_from_parts, model_to_parts
from brianbridge.surrogate.module import Surrogate
from tests.agreement.comparison import agree


def network(delay="5*ms*rand()"):
    stimulus = TimedArray(np.sin(np.arange(100)), dt=1 * ms)
    cells = NeuronGroup(
        8,
        "dv/dt = (1.3 + 0.2*stimulus(t) - v)/(8*ms) : 1 (unless refractory)\nx : 1",
        threshold="v > 1",
        reset="v = 0",
        refractory=2 * ms,
        method="euler",
        name="cells",
        namespace={"stimulus": stimulus},
    )
    cells.v = "rand()"
    cells.run_regularly("x = rand() + t/second", dt=1.5 * ms)
    poisson = PoissonGroup(3, 100 * Hz, name="poisson")
    generator = SpikeGeneratorGroup(
        2, [0, 1, 0], [1, 6, 22] * ms, period=25 * ms, dt=0.2 * ms, name="generator"
    )
    recurrent = Synapses(
        cells,
        cells,
        "w : 1\ndfading/dt = -fading/(5*ms) : 1 (event-driven)",
        on_pre="v_post += w*fading; fading += 0.2",
        on_post="w *= 0.99",
        name="recurrent",
    )
    recurrent.connect(p=0.5)
    recurrent.w, recurrent.pre.delay = "0.3*rand()", delay
    parts = [cells, poisson, generator, recurrent, PoissonInput(cells, "v", 3, 200 * Hz, 0.05)]
    for source in (poisson, generator):
        synapses = Synapses(source, cells, on_pre="v_post += 0.1", delay=1.2 * ms)
        synapses.connect(p=0.5)
        parts.append(synapses)
    return Network(parts)


@pytest.mark.parametrize("before", [0.1, 7.3, 20.0])
@pytest.mark.agrees("Networks: several runs")
def test_after_a_run(before):
    net = network()
    net.run(before * ms)
    result = agree(net, 300)
    assert result.bit_equal
    assert result.total_spikes > 30


@pytest.mark.agrees("Synapses: delays changed between runs")
def test_events_under_way_keep_their_time_when_delays_change():
    source = SpikeGeneratorGroup(3, [0, 1, 2, 0, 1], [0, 1, 2, 9, 9.5] * ms)
    target = NeuronGroup(3, "dv/dt = -v/(5*ms) : 1", method="exact")
    synapses = Synapses(source, target, "w : 1", on_pre="v_post += w")
    synapses.connect()
    synapses.w, synapses.delay = "rand()", "8*ms + rand()*5*ms"
    net = Network(source, target, synapses)
    net.run(5 * ms)
    synapses.delay = "0.5*ms + 0.2*ms*i"
    assert len(wrap(net)[synapses.name].pathways[0].under_way) == 9
    result = agree(net, 250)
    assert result.bit_equal


def test_two_events_at_once_are_no_silent_difference():
    """Old and new delays can let two events of one neuron arrive at once: Brian2 then applies both."""
    cells = SpikeGeneratorGroup(1, [0, 0], [0, 1] * ms)
    target = NeuronGroup(1, "v : 1")
    synapses = Synapses(cells, target, on_pre="v_post += 1", delay=2 * ms, name="synapses")
    synapses.connect()
    net = Network(cells, target, synapses)
    net.run(0.5 * ms)
    synapses.delay = 1 * ms
    for backend in ("compiled", "eager"):
        surrogate = Surrogate(wrap(net), backend=backend)
        with pytest.raises(Refused, match="synapses_pre: two events arrive at one synapse in the same step"):
            surrogate(duration=5 * ms)


@pytest.mark.agrees("Networks: store and restore")
def test_stored_and_restored():
    net = network()
    net.store()
    net.run(5 * ms)
    net.restore()
    assert wrap(net).time == 0
    assert agree(net, 100).bit_equal


def test_final_state_is_that_of_the_network_itself():
    """Two simulations of the surrogate and two runs of Brian2 go the same way."""
    net = network()
    surrogate = Surrogate(wrap(net), dtype=torch.float64, exact=True)
    whole = surrogate(duration=20 * ms, record=["cells.v"], seed=3)
    first = surrogate(duration=8 * ms, record=["cells.v"], seed=3)
    second = surrogate(duration=12 * ms, record=["cells.v"], initial=first.final)
    assert torch.equal(torch.cat([first["cells.v"], second["cells.v"]]), whole["cells.v"])


def test_time_and_events_are_stored():
    net = network()
    net.run(12.1 * ms)
    model = wrap(net)
    again = model_from_parts(*model_to_parts(model))
    assert again.hash == model.hash
    assert again.time == pytest.approx(12.1e-3)
    one = Surrogate(model, dtype=torch.float64)(duration=5 * ms, record=["cells.v"], seed=1)
    other = Surrogate(again, dtype=torch.float64)(duration=5 * ms, record=["cells.v"], seed=1)
    assert torch.equal(one["cells.v"], other["cells.v"])


@pytest.mark.refused(
    "Networks: dt changed while events are under way",
    why="Brian2 rounds the events to the new step and may lose some",
)
def test_changed_step_with_events_under_way_is_refused():
    net = network()
    net.run(5 * ms)
    defaultclock.dt = 0.05 * ms
    with pytest.raises(Refused, match="dt was changed from 0.1 ms while events are under way"):
        wrap(net)
