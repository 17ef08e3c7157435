"""`wrap(dt=...)`: the network at another time step is Brian2's at that step; what is rounded is listed."""

import re
import warnings

import numpy as np
import pytest
from brian2 import *

import brianbridge as bb
from tests.agreement.comparison import agree


def network(dt=0.1 * ms):
    """Delays of all kinds, refractory periods, spike times, operations and timed input."""
    defaultclock.dt = dt
    names = dict(tau=5 * ms, stim=TimedArray(np.linspace(0, 0.4, 40), dt=1 * ms))
    given = SpikeGeneratorGroup(3, [0, 1, 2, 0], [0.3, 1.1, 2.5, 3.1] * ms, period=6 * ms, name="given")
    cells = NeuronGroup(
        8,
        "dv/dt = (1.3 - v + stim(t))/tau : 1 (unless refractory)\nx : 1\nref : second",
        threshold="v > 1",
        reset="v = 0",
        refractory="ref",
        method="euler",
        namespace=names,
        name="cells",
    )
    cells.v, cells.ref = "0.1*i", "0.2*i*ms"
    cells.run_regularly("x = 0.9*x + v")
    slow = NeuronGroup(3, "dy/dt = (1 - y)/tau : 1", method="euler", namespace=names, dt=10 * dt, name="slow")
    inputs = Synapses(given, cells, on_pre="v_post += 0.3", delay=1.3 * ms, name="inputs")
    inputs.connect()
    rec = Synapses(
        cells,
        cells,
        """w : 1
        dp/dt = -p/tau : 1 (event-driven)
        dq/dt = -q/tau : 1 (event-driven)""",
        on_pre="x_post += w; p += 0.1; w = clip(w + q, 0, 1)",
        on_post="q -= 0.1; w = clip(w + p, 0, 1)",
        namespace=names,
        name="rec",
    )
    rec.connect(condition="i != j")
    rec.w, rec.pre.delay, rec.post.delay = "0.1 + 0.01*i", "0.17*ms*(i + 0.3*j)", 0.7 * ms
    return Network(given, cells, slow, inputs, rec)


def wrapped(net, dt, category=bb.RoundedTimes):
    """The model, and the changes that were warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = bb.wrap(net, dt=dt)
    return model, [c for w in caught if w.category is category for c in w.message.changes]


@pytest.mark.parametrize("dt", [0.5 * ms, 0.3 * ms, 0.2 * ms, 0.05 * ms])
@pytest.mark.agrees("Schedule: another time step than the network has, wrap(dt=...)")
def test_the_model_is_what_brian2_would_be_at_this_step(dt):
    model, changes = wrapped(network(), dt)
    assert changes
    net = model.network()
    assert [net[name].clock.dt for name in ("cells", "given", "slow")] == [dt, dt, 10 * dt]
    assert model.hash == bb.wrap(network(dt)).hash
    result = agree(net, round(25 * ms / dt))
    assert result.bit_equal and result.total_spikes > 20


def test_two_clocks_a_running_network_and_noise():
    net = network()
    kicks = PoissonInput(net["cells"], "v", 20, 30 * Hz, weight=0.1)
    net.add(kicks)
    net.run(12 * ms, namespace={})
    model, changes = wrapped(net, 0.4 * ms)
    assert model.time == pytest.approx(12e-3)
    assert any([change.startswith("rec_pre, spikes under way:") for change in changes])
    assert agree(model.network(), 100).bit_equal


# -- what is listed, measured in Brian2 ---------------------------------------------------------------


def listed(changes, name):
    """How many change, of how many, and the largest change in ms, from the sentence about an object."""
    (sentence,) = [change for change in changes if change.startswith(f"{name}:")]
    count, size, before, after = re.fullmatch(
        r".*: (\d+) of (\d+) .* change, the most where (\S+) ms becomes (\S+) ms", sentence
    ).groups()
    return int(count), int(size), float(before), float(after)


def check(changes, name, before, after):
    """What is listed is what was measured, in seconds, at both time steps."""
    change = np.abs(after - before)
    count, size, first, second = listed(changes, name)
    assert (count, size) == ((change > 1e-9).sum(), len(before))
    assert abs(second - first) * 1e-3 == pytest.approx(change.max())
    assert np.isclose(before, first * 1e-3).any() and np.isclose(after, second * 1e-3).any()


def arrivals(dt):
    """A spike that leaves at t = 0 through 60 synapses of different delays: when it arrives at each."""
    defaultclock.dt = dt
    one = SpikeGeneratorGroup(1, [0], [0] * ms, name="one")
    links = Synapses(one, NeuronGroup(60, "x : 1"), "arrived : second", on_pre="arrived = t", name="links")
    links.connect()
    links.pre.delay = np.random.default_rng(1).integers(0, 300, 60) * 10 * us
    return Network(one, links, links.target), links


@pytest.mark.parametrize("dt", [0.5 * ms, 0.25 * ms, 0.07 * ms])
def test_delays_are_rounded_as_listed(dt):
    measured = []
    for step in (0.1 * ms, dt):
        net, links = arrivals(step)
        net.run(4 * ms)
        measured.append(np.array(links.arrived))
    check(wrapped(arrivals(0.1 * ms)[0], dt)[1], "links_pre", *measured)


def restless(dt, refractory):
    """Neurons above threshold: what lies between their spikes is their refractory period."""
    defaultclock.dt = dt
    cells = NeuronGroup(
        40, "v : 1\nref : second", threshold="v > 1", reset="", refractory=refractory, name="restless"
    )
    cells.v, cells.ref = 2, np.random.default_rng(2).integers(50, 400, 40) * 10 * us
    return Network(cells, SpikeMonitor(cells, name="spikes"))


@pytest.mark.parametrize("refractory", ["ref", "0.3*ms + 0.5*ref", "7*dt + ref"])
@pytest.mark.parametrize("dt", [0.5 * ms, 0.25 * ms, 0.07 * ms])
def test_refractory_periods_are_rounded_as_listed(dt, refractory):
    measured = []
    for step in (0.1 * ms, dt):
        net = restless(step, refractory)
        net.run(20 * ms)
        spikes = net["spikes"].spike_trains()
        measured.append(np.array([np.diff(spikes[i] / second)[0] for i in range(40)]))
    check(wrapped(restless(0.1 * ms, refractory), dt)[1], "restless", *measured)


def test_spike_times_are_rounded_as_listed():
    times = np.random.default_rng(3).permutation(500)[:30] * 37 * us

    def given(dt):
        defaultclock.dt = dt
        group = SpikeGeneratorGroup(30, np.arange(30), times, name="given")
        return Network(group, SpikeMonitor(group, name="spikes"))

    measured = []
    for step in (0.1 * ms, 0.5 * ms):
        net = given(step)
        net.run(20 * ms)
        order = np.argsort(net["spikes"].i[:])
        measured.append(np.array(net["spikes"].t)[order])
    check(wrapped(given(0.1 * ms), 0.5 * ms)[1], "given", *measured)
