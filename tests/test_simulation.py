"""Trials in Brian2 against the surrogate, at the training step and at a finer one."""

import numpy as np
import pytest
import torch
from brian2 import Network, NeuronGroup, TimedArray, ms, start_scope
from brian2.core import names

import brianbridge as bb
from brianbridge.comparison.same_trials import same_trials
from brianbridge.simulation.copies import side_by_side


@pytest.fixture(scope="module")
def trained():
    model = bb.load("li2020", cells=20, seed=3)
    return bb.Trained(
        model=model, task="context_integration", inputs={"stimulus": "stimulus"}, output="out.o"
    )


@pytest.fixture(scope="module")
def trials():
    return bb.tasks.ContextIntegration(fixation=20 * ms, response=30 * ms).trials(1, 3, 1 * ms)


@pytest.fixture(scope="module")
def records(trained, trials):
    surrogate = bb.Surrogate(trained.model, dtype=torch.float64, exact=True)
    with torch.no_grad():
        return surrogate({"stimulus": trials.inputs["stimulus"]}, record=["cells", "out.o"], seed=2)


def frozen(records):
    return {name: values.numpy() for name, values in records.noise.items()}


def test_same_spikes_and_output_as_the_surrogate(trained, trials, records):
    simulated = bb.simulate(trained, trials, noise=frozen(records), progress=False)
    spikes = records["cells"].numpy() > 0.5
    assert spikes.sum() > 10
    for trial in range(3):
        assert np.array_equal(simulated.raster("cells", trial), spikes[:, trial])
    assert np.array_equal(simulated.outputs, records["out.o"].numpy())
    assert simulated.rates("cells").values == pytest.approx(records.rates("cells"))


def test_written_into_a_live_network(trained, trials, records):
    untrained = bb.load("li2020", cells=20, seed=3)
    untrained = untrained.with_values({("w_out", "w"): np.zeros(20)})
    live = untrained.with_inputs({"stimulus": trials.inputs["stimulus"][:, 0]}).live()
    trained.write_to(live.network)
    before = {obj.name for obj in live.network.objects}
    simulated = bb.simulate(trained, trials, live=live, noise=frozen(records), progress=False)
    assert np.array_equal(simulated.outputs, records["out.o"].numpy())
    assert {obj.name for obj in live.network.objects} == before
    assert float(live.network.t) == 0


def test_finer_time_step_keeps_the_trial_and_holds_the_inputs(trained, trials):
    simulated = bb.simulate(trained, trials, dt=0.5 * ms, seed=1, progress=False)
    assert simulated.dt == pytest.approx(0.0005)
    assert simulated.steps == 2 * trials.steps
    assert simulated.outputs.shape == (trials.steps, 3, 1)
    assert simulated.raster("cells", 0).shape == (2 * trials.steps, 20)


@pytest.mark.parametrize("dt", [0.3, 0.7, 2])
def test_a_time_step_that_does_not_divide_that_of_the_trials_is_refused(trained, trials, dt):
    with pytest.raises(ValueError, match=rf"steps of 1 ms, .* dt={dt}\*ms"):
        bb.simulate(trained, trials, dt=dt * ms, progress=False)


def test_fresh_noise_follows_the_seed(trained, trials):
    first, again, other = (
        bb.simulate(trained, trials[:1], seed=seed, progress=False).outputs for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_names_are_the_same_in_every_simulation(trained, trials, monkeypatch):
    """Brian2 would compile its code anew where a clock or a timed array has another name."""
    given, find_name = [], names.find_name
    monkeypatch.setattr(names, "find_name", lambda *wanted: given.append(find_name(*wanted)) or given[-1])
    simulations = []
    for _ in range(3):
        bb.simulate(trained, trials[:1], progress=False)
        simulations.append(given.copy())
        given.clear()
    assert simulations[0] == simulations[1] == simulations[2] != []


def test_a_live_network_draws_its_own_noise_after_a_replay(trained, trials, records):
    live = trained.model.with_inputs({"stimulus": trials.inputs["stimulus"][:, 0]}).live()
    settings = dict(seed=1, live=live, record=["cells.v"], progress=False)
    before = bb.simulate(trained, trials, **settings).states["cells.v"]
    bb.simulate(trained, trials, noise=frozen(records), live=live, progress=False)
    assert np.array_equal(bb.simulate(trained, trials, **settings).states["cells.v"], before)
    same_trials(trained, trials, live=live)
    assert np.array_equal(bb.simulate(trained, trials, **settings).states["cells.v"], before)


def test_seeds_leave_the_random_numbers_of_the_user_alone(trained, trials):
    np.random.seed(3)
    wanted = np.random.random(4)
    for run in (
        lambda: bb.simulate(trained, trials[:1], seed=1, progress=False),
        lambda: same_trials(trained, trials[:1], seed=1),
    ):
        np.random.seed(3)
        run()
        assert np.array_equal(np.random.random(4), wanted)


def test_trials_without_a_seed_differ_from_call_to_call(trained, trials):
    first, second = (
        bb.simulate(trained, trials[:1], record=["cells.v"], progress=False).states["cells.v"]
        for _ in range(2)
    )
    assert not np.array_equal(first, second)


def test_a_live_network_with_shorter_inputs_is_refused(trained, trials):
    live = trained.model.live()
    with pytest.raises(ValueError, match="shape"):
        bb.simulate(trained, trials, live=live, progress=False)


def test_trials_side_by_side_take_the_same_steps(trained, trials, records):
    alone = bb.simulate(trained, trials, noise=frozen(records), record=["cells.v"], progress=False)
    beside = bb.simulate(
        trained, trials, noise=frozen(records), record=["cells.v"], together=2, progress=False
    )  # two, and one with a copy that is left out
    for trial in range(3):
        assert np.array_equal(beside.raster("cells", trial), alone.raster("cells", trial))
        assert beside.final[trial].keys() == alone.final[trial].keys()
        for name, value in alone.final[trial].items():
            assert np.array_equal(beside.final[trial][name], value), name
    assert np.array_equal(beside.outputs, alone.outputs)
    assert np.array_equal(beside.states["cells.v"], alone.states["cells.v"])
    assert alone.states["cells.v"].shape == (trials.steps, 3, 20) and beside.sizes == alone.sizes


def test_copies_have_noise_of_their_own(trained, trials):
    simulated = bb.simulate(trained, trials[[0, 0, 0]], seed=1, together=3, progress=False)
    rasters = [simulated.raster("cells", trial) for trial in range(3)]
    assert all(raster.any() for raster in rasters) and not np.array_equal(rasters[0], rasters[1])


@pytest.mark.parametrize(
    "drive, reason",
    [("stimulus(t, i) + 0.1*i", "refers to i"), ("stimulus(t, 0)", "reads stimulus at another")],
)
def test_networks_that_know_their_place_have_no_copies(trials, drive, reason):
    start_scope()
    stimulus = TimedArray(np.zeros((70, 4)), dt=1 * ms)  # noqa: F841
    cells = NeuronGroup(4, f"dv/dt = ({drive} - v)/(10*ms) : 1", threshold="v > 1", reset="v = 0")
    network = Network(cells)
    model = bb.wrap(network)
    trained = bb.Trained(model=model, inputs={"stimulus": "stimulus"}, output=f"{cells.name}.v")
    with pytest.raises(
        ValueError, match=f"{reason}.*, so that copies cannot stand side by side: use together=1"
    ):
        bb.simulate(trained, trials, together=2, progress=False)
    assert side_by_side(model, 3) == 1
