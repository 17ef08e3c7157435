"""Groups and inputs that spike or draw by chance."""

# ruff: noqa: F841 - equations use names that the linter does not see

import numpy as np
import pytest
import torch
from brian2 import *

from brianbridge.bridge import wrap
from brianbridge.generation.random_numbers import poisson_quantile
from brianbridge.surrogate.module import Surrogate
from tests.agreement.comparison import agree


def driven(source, n=4, delay=None, name="cells"):
    """Neurons that receive the spikes of a source through random weights."""
    cells = NeuronGroup(
        n, "dv/dt = (0.8 - v)/(10*ms) : 1", threshold="v > 1", reset="v = 0", method="euler", name=name
    )
    synapses = Synapses(source, cells, "w : 1", on_pre="v_post += w", delay=delay)
    synapses.connect(p=0.7)
    synapses.w = "0.1 + 0.3*rand()"
    return cells, synapses


@pytest.mark.parametrize("rates", ["number", "each", "text", "timed"])
@pytest.mark.agrees("Inputs: PoissonGroup with rates as numbers, text or TimedArray")
def test_poisson_group(rates):
    stimulus = TimedArray(np.linspace(0, 600, 60).reshape(12, 5) * Hz, dt=2 * ms)
    given = {
        "number": 200 * Hz,
        "each": np.arange(5) * 100 * Hz,
        "text": "80*Hz*(1 + sin(2*pi*50*Hz*t) + i)",
        "timed": "stimulus(t, i)",
    }
    poisson = PoissonGroup(5, given[rates])
    result = agree(Network(poisson, *driven(poisson, delay=1 * ms)), 300)
    assert result.bit_equal
    assert result.spikes[f"{poisson.name}.spike"] > 15


def test_part_of_a_poisson_group():
    poisson = PoissonGroup(6, 300 * Hz)
    assert agree(Network(poisson, *driven(poisson[2:5])), 300).bit_equal


@pytest.mark.parametrize("period", [0, 8])
@pytest.mark.parametrize("dt", [0.1, 0.2])
@pytest.mark.agrees("Inputs: SpikeGeneratorGroup, also periodic and with its own dt")
def test_spike_generator(period, dt):
    times = [0, 1, 2, 2, 3.05, 7, 7.799]
    source = SpikeGeneratorGroup(4, [3, 0, 1, 2, 3, 0, 2], times * ms, period=period * ms, dt=dt * ms)
    result = agree(Network(source, *driven(source, delay=0.4 * ms)), 300)
    assert result.bit_equal
    assert result.spikes[f"{source.name}.spike"] == (7 if period == 0 else 26)


def test_spike_generator_without_spikes():
    source = SpikeGeneratorGroup(3, [], [] * ms)
    assert agree(Network(source, *driven(source)), 50).bit_equal


@pytest.mark.agrees("Inputs: spikes of a SpikeGeneratorGroup given for each trial")
def test_spikes_of_each_trial():
    """A generator's spikes can be given for each trial, as those of a generator that has them itself."""
    rng = np.random.default_rng(3)
    trains = (rng.random((100, 2, 4)) < 0.1).astype(float)
    source = SpikeGeneratorGroup(4, [0], [1] * ms, name="source")
    cells, synapses = driven(source, delay=0.3 * ms)
    surrogate = Surrogate(wrap(Network(source, cells, synapses)), dtype=torch.float64, exact=True)
    records = surrogate({source: trains}, record=[cells.v, source])
    assert np.array_equal(records[source].numpy(), trains)
    for trial in range(2):
        steps, indices = np.nonzero(trains[:, trial])
        source.set_spikes(indices, steps * 0.1 * ms)
        twin = wrap(Network(source, cells, synapses)).live()
        monitor = StateMonitor(twin["cells"], "v", record=True, when="end")
        twin.network.add(monitor)
        twin.network.run(10 * ms)
        assert np.array_equal(records[cells.v][:, trial].numpy(), monitor.v.T)


def test_spikes_of_each_trial_have_to_fit():
    source = SpikeGeneratorGroup(4, [0], [1] * ms, name="source")
    surrogate = Surrogate(wrap(Network(source, *driven(source))))
    with pytest.raises(ValueError, match=r"source need the shape \(time, batch, 4\)"):
        surrogate({"source": np.zeros((10, 4))})


@pytest.mark.agrees("Inputs: PoissonInput")
def test_poisson_input():
    cells = NeuronGroup(5, "dv/dt = -v/(10*ms) : volt\nx : 1", method="exact", name="cells")
    few = PoissonInput(cells, "v", 20, 300 * Hz, 0.5 * mV)
    many = PoissonInput(cells[1:4], "x", 2000, 100 * Hz, "0.05*v/mV", when="end")
    result = agree(Network(cells, few, many), 300)
    assert result.bit_equal
    assert result.records["cells.x"][-1, 0, 2] > 0


def test_poisson_input_has_the_right_statistics():
    cells = NeuronGroup(400, "x : 1", name="cells")
    network = Network(cells, PoissonInput(cells, "x", 20, 50 * Hz, 1.0))
    records = Surrogate(wrap(network))(duration=100 * ms, record=["cells.x"], seed=4)
    counts = records["cells.x"][-1, 0].numpy()
    assert abs(counts.mean() - 100) < 5 * np.sqrt(100 / 400)  # 20 processes of 50 Hz for 0.1 s
    assert 80 < counts.var() < 120


@pytest.mark.agrees("Randomness: BinomialFunction")
def test_numbers_of_a_binomial_function():
    drawn = BinomialFunction(10, 0.3)
    cells = NeuronGroup(3, "dv/dt = (drawn() - v)/(5*ms) : 1", method="euler")
    assert agree(Network(cells), 100).bit_equal


@pytest.mark.agrees("Randomness: poisson()")
def test_poisson_numbers():
    cells = NeuronGroup(6, "dv/dt = -v/(5*ms) : 1\nrate : 1", threshold="poisson(0.02) > 0", reset="v += 1")
    cells.rate = "i"
    cells.run_regularly("v = v + 0.1*poisson(rate*(1 + v)) - poisson(0.2)/10.0")
    result = agree(Network(cells), 300)
    assert result.bit_equal
    assert 5 < result.total_spikes < 80


def test_poisson_quantile_inverts_the_distribution():
    uniform = (np.arange(20000) + 0.5) / 20000
    for mean in (0.1, 3.0, 400.0):
        counts = poisson_quantile(uniform, mean)
        assert abs(counts.mean() - mean) < 0.01 * mean + 0.01
        assert abs(counts.var() - mean) < 0.03 * mean
    assert np.all(poisson_quantile(uniform, 0.0) == 0)


@pytest.mark.agrees("Randomness: in Synapses")
def test_random_numbers_in_synapses():
    cells = NeuronGroup(5, "dv/dt = (1.3 - v)/(5*ms) : 1", threshold="v > 1", reset="v = 0", method="euler")
    cells.v = "rand()"
    synapses = Synapses(
        cells,
        cells,
        """dw/dt = -w/(20*ms) + 0.1*xi*(20*ms)**-0.5 : 1 (clock-driven)
        k : 1""",
        on_pre="v_post += 0.1*w*rand(); k += randn()",
        on_post="k *= rand()",
        method="euler",
        delay=0.5 * ms,
    )
    synapses.connect(condition="i != j")
    assert agree(Network(cells, synapses), 300).bit_equal


@pytest.mark.agrees("Randomness: one number for a whole group")
def test_random_numbers_of_a_whole_group():
    cells = NeuronGroup(4, "dv/dt = (drive - v)/(5*ms) : 1\ndrive : 1 (shared)", method="euler")
    cells.run_regularly("drive = randn()", dt=1 * ms)
    result = agree(Network(cells), 100)
    assert result.bit_equal
    assert result.surrogate.program.arrays[f"{cells.name}.drive"].role == "state"


@pytest.mark.parametrize("width, column", [(1, 0), (3, 0), (3, 2)])
def test_one_column_of_an_input_for_all(width, column):
    stimulus = TimedArray(np.random.rand(12, width), dt=0.2 * ms)
    cells = NeuronGroup(5, f"dv/dt = (stimulus(t, {column}) - v)/(2*ms) : 1", method="euler", name="cells")
    cells.v = "rand()"
    network = Network(cells)
    model, found = wrap(network), {}
    assert agree(network, 40).bit_equal
    for backend in ("compiled", "eager"):
        surrogate = Surrogate(model, dtype=torch.float64, backend=backend)
        values = torch.tensor(stimulus.values, requires_grad=True)
        given = values.reshape(12, 1, width)
        surrogate({"stimulus": given}, duration=4 * ms, record=["cells.v"])["cells.v"].sum().backward()
        found[backend] = values.grad
    torch.testing.assert_close(found["compiled"], found["eager"], rtol=1e-12, atol=1e-14)
