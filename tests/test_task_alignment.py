"""Which step of a target is compared with which input and spike, in the read-out of each paper.

The papers' recurrences are written out in numpy, indexed such that ``output[k]`` is what the paper compares
with ``target[k]``. Brian2 runs the same read-out; its output at the end of step k is what training compares
with ``target[k]``. A read-out through a summed variable adds up the traces of the step before.
"""

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, SpikeMonitor, StateMonitor, Synapses, TimedArray, ms, prefs, second
from numpy.testing import assert_allclose

from brianbridge import tasks

TAU, TAU_RISE = 20 * ms, 2 * ms


@pytest.fixture(autouse=True)
def numpy_target():
    before = prefs.codegen.target
    prefs.codegen.target = "numpy"
    yield
    prefs.codegen.target = before


def li(u, dt):
    """r(n+1) = r(n) + dt/tau*(z(n+1) - r(n)); o(n+1) = r(n+1), compared with target (n+1)."""
    r, output = 0.0, []
    for spike in u > 0.5:
        r = r + dt / TAU * (spike - r)
        output.append(r)
    return output


def kim(u, dt):
    """x(t) = (1 - a)*x(t-1) + a*u(t-1); o(t) = sigmoid(x(t)), compared with target (t-1)."""
    x, output = 0.0, {}
    for t in range(1, len(u) + 1):
        x = (1 - dt / TAU) * x + dt / TAU * u[t - 1]
        output[t - 1] = 1 / (1 + np.exp(-x))
    return [output[step] for step in range(len(u))]


def song(u, dt):
    """Time points dt ... T: x(t) = (1 - a)*x(t-dt) + a*u(t); z(t) = [x(t)]+, compared with target (t)."""
    x, output = 0.0, []
    for present in u:
        x = (1 - dt / TAU) * x + dt / TAU * present
        output.append(max(x, 0.0))
    return output


def lin(u, dt):
    """h(n+1) = l_r*h(n) + S(n+1); r(n+1) = l_d*r(n) + (1 - l_d)*h(n+1), compared with target (n+1)."""
    slow, fast = np.exp(-dt / TAU), np.exp(-dt / TAU_RISE)
    h = r = 0.0
    output = []
    for spike in u > 0.5:
        h = fast * h + spike
        r = slow * r + (1 - slow) * h
        output.append(r)
    return output


def depasquale(u, dt):
    """A trace that decays and grows by 1 at each spike of the step."""
    s, output = 0.0, []
    for spike in u > 0.1:
        s = s * np.exp(-dt / TAU) + spike
        output.append(s)
    return output


PAPERS = {
    "Li": (
        li,
        ("delayed_match", "li2020", 1 * ms, dict(first=1), 0),
        dict(model="dr/dt = -r/TAU : 1", threshold="u(t) > 0.5", reset="r += dt/TAU", method="euler"),
    ),
    "Kim": (
        kim,
        ("delayed_match", "kim2019", 5 * ms, dict(first=1), 0),
        dict(model="dx/dt = (u(t) - x)/TAU : 1\nr = 1/(1 + exp(-x)) : 1", method="euler"),
    ),
    "Song": (
        song,
        ("perceptual_decision", "song2016", 20 * ms / 4, dict(catch=False), 0),
        dict(model="dx/dt = (u(t) - x)/TAU : 1\nr = clip(x, 0, inf) : 1", method="euler"),
    ),
    "Lin": (
        lin,
        ("context_integration", "lin2024", 0.2 * ms, dict(context=0), 0),
        dict(
            model="dr/dt = (h*exp(-dt/TAU_RISE) - r)/TAU : 1\ndh/dt = -h/TAU_RISE : 1",
            threshold="u(t) > 0.5",
            reset="h += 1; r += 1 - exp(-dt/TAU)",
            method="exponential_euler",
        ),
    ),
    "DePasquale": (
        depasquale,
        ("temporal_xor", "depasquale2016", 1 * ms, dict(), 0),
        dict(model="dr/dt = -r/TAU : 1", threshold="u(t) > 0.1", reset="r += 1", method="exact"),
    ),
}


@pytest.mark.parametrize("paper", PAPERS)
def test_an_output_is_one_step_behind_its_paper(paper):
    recurrence, (name, preset, dt, wanted, channel), neuron = PAPERS[paper]
    trials = tasks.make(name, preset).trials(rng=1, batch=1, dt=dt, **wanted)
    stimulus = trials.inputs["stimulus"][:, 0, channel]
    u = TimedArray(stimulus, dt=dt)
    cell = NeuronGroup(1, dt=dt, **neuron)
    out = NeuronGroup(1, "o : 1", dt=dt)
    readout = Synapses(cell, out, "o_post = r_pre : 1 (summed)", dt=dt)
    readout.connect()
    monitor = StateMonitor(out, "o", record=True, when="end", dt=dt)
    network = Network(cell, out, readout, monitor)
    network.run(trials.duration, namespace={"u": u, "TAU": TAU, "TAU_RISE": TAU_RISE})
    paper_output = np.array(recurrence(stimulus, float(dt) * second))
    brian_output = np.array(monitor.o[0])
    assert len(brian_output) == len(paper_output) == trials.steps
    assert np.ptp(paper_output) > 0
    assert_allclose(brian_output[1:], paper_output[:-1], atol=1e-9)
    assert not np.allclose(brian_output, paper_output, atol=1e-6)


def test_a_step_of_the_input_is_seen_in_its_own_step():
    trials = tasks.DelayedMatch().trials(rng=1, batch=1, dt=1 * ms, first=1)
    u = TimedArray(trials.inputs["stimulus"][:, 0, 0], dt=1 * ms)
    cell = NeuronGroup(1, "v : 1", threshold="u(t) > 0.5", dt=1 * ms)

    spikes = SpikeMonitor(cell)
    Network(cell, spikes).run(trials.duration, namespace={"u": u})
    steps = np.rint(np.array(spikes.t / ms)).astype(int)
    start, stop = trials.epochs["sample"][0]
    assert steps[0] == start and steps[stop - start - 1] == stop - 1
