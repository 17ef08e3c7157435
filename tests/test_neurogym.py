"""The NeuroGym adapter: on an environment written out here, and on NeuroGym's own where it is installed."""

import sys

import numpy as np
import pytest
from brian2.units import ms
from numpy.testing import assert_allclose, assert_array_equal

from brianbridge import tasks


class Discrete:
    def __init__(self, n, name):
        self.n, self.name = n, name


class Box:
    name = {"fixation": 0, "stimulus": [1, 2]}


class LeftOrRight:
    """What the adapter uses of an environment: fixation 2 steps, stimulus 3 to 5, decision 2."""

    dt = 10
    observation_space = Box()
    action_space = Discrete(3, {"fixation": 0, "choice": range(1, 3)})

    def seed(self, seed):
        self.rng = np.random.RandomState(seed)

    def new_trial(self, side=None):
        side = self.rng.randint(1, 3) if side is None else side
        stimulus = self.rng.randint(3, 6)
        steps = 2 + stimulus + 2
        self.start_ind = {"fixation": 0, "stimulus": 2, "delay": 2 + stimulus, "decision": 2 + stimulus}
        self.end_ind = {"fixation": 2, "stimulus": 2 + stimulus, "delay": 2 + stimulus, "decision": steps}
        self.ob = np.zeros((steps, 3), dtype=np.float32)
        self.ob[: 2 + stimulus, 0] = 1
        self.ob[2 : 2 + stimulus, side] = self.rng.rand()
        self.gt = np.array([0] * (2 + stimulus) + [side] * 2)
        return {"side": side, "pair": (1, 2), "kind": "visual"}


class NoTruth(LeftOrRight):
    dt = 20

    def new_trial(self):
        return {}


def test_an_environment_becomes_a_task():
    task = tasks.NeuroGym(environment=LeftOrRight())
    trials = task.trials(rng=1, batch=12, dt=10 * ms)
    assert len(set(trials.lengths)) > 1 and trials.steps == trials.lengths.max()
    assert list(trials.epochs) == ["fixation", "stimulus", "decision"]
    assert set(trials.conditions) == {"side", "kind", "target"}
    assert_array_equal(trials.conditions["target"], trials.conditions["side"])
    assert trials.channels["stimulus"] == ("fixation", "stimulus 0", "stimulus 1")
    assert trials.channels["target"] == ("fixation", "choice 0", "choice 1")
    counted = trials.during("fixation") | trials.during("decision")
    assert_array_equal(trials.mask, np.repeat(counted[..., None], 3, axis=2))
    within = np.arange(trials.steps)[:, None] < trials.lengths
    assert_array_equal(trials.targets.sum(axis=2), within)
    answer = np.where(trials.during("decision"), trials.conditions["side"], 0)
    assert_array_equal(trials.targets.argmax(axis=2), answer)
    shown = trials.inputs["stimulus"][:, np.arange(12), trials.conditions["side"]]
    assert_array_equal(shown > 0, trials.during("stimulus"))


def test_seeds_and_conditions_reach_the_environment():
    task = tasks.NeuroGym(environment=LeftOrRight())
    first, again, other = (task.trials(rng=seed, batch=6, dt=10 * ms) for seed in (1, 1, 2))
    assert_array_equal(first.inputs["stimulus"], again.inputs["stimulus"])
    assert not np.array_equal(first.inputs["stimulus"][:5], other.inputs["stimulus"][:5])
    assert set(task.trials(1, 6, 10 * ms, side=2).conditions["side"]) == {2}


def test_answers():
    task = tasks.NeuroGym(environment=LeftOrRight())
    trials = task.trials(rng=1, batch=6, dt=10 * ms)
    assert task.score(trials.targets, trials).all()
    assert set(task.outcomes(trials.targets[..., [0, 2, 1]], trials)) == {"incorrect"}
    assert set(task.outcomes(np.zeros_like(trials.targets), trials)) == {"none"}
    fixating = np.zeros_like(trials.targets) + [1, 0, 0]
    assert set(task.outcomes(fixating, trials)) == {"none"}


def test_errors_can_count_everywhere():
    trials = tasks.NeuroGym(environment=LeftOrRight(), counted=["nowhere"]).trials(1, 4, 10 * ms)
    assert_array_equal(trials.mask[..., 0], np.arange(trials.steps)[:, None] < trials.lengths)


@pytest.mark.parametrize(
    "environment, message",
    [
        (
            LeftOrRight(),
            r"neurogym: the environment has a time step of 10 ms, but dt=20\*ms; make it with dt=20",
        ),
        (
            NoTruth(),
            "nothing about ob and gt",
        ),
    ],
)
def test_environments_that_cannot_be_shown(environment, message):
    with pytest.raises(ValueError, match=message):
        tasks.NeuroGym(environment=environment).trials(1, 2, 20 * ms)


def test_what_is_no_environment():
    with pytest.raises(TypeError, match="neurogym: environment=3 must be the name of a NeuroGym environment"):
        tasks.NeuroGym(environment=3)


def test_without_neurogym(monkeypatch):
    monkeypatch.setitem(sys.modules, "neurogym", None)
    with pytest.raises(ModuleNotFoundError, match="make neurogym-test"):
        tasks.NeuroGym().trials(1, 2, 100 * ms)


@pytest.fixture(scope="module")
def neurogym():
    return pytest.importorskip("neurogym", reason="NeuroGym is not installed", exc_type=ImportError)


# Epochs in ms and channels, as the environments have them when they are made without arguments.
ENVIRONMENTS = {
    "PerceptualDecisionMaking-v0": (dict(fixation=100, stimulus=2000, decision=100), 3, "coh"),
    "DelayComparison-v0": (
        dict(fixation=500, stimulus1=500, delay=1000, stimulus2=500, decision=100),
        2,
        "v1",
    ),
    "ContextDecisionMaking-v0": (dict(fixation=300, stimulus=750, delay=None, decision=100), 5, "context"),
    "DelayMatchSample-v0": (
        dict(fixation=300, sample=500, delay=1000, test=500, decision=900),
        3,
        "test_theta",
    ),
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("dt", [100 * ms, 20 * ms])
def test_environments_of_neurogym(neurogym, environment, dt):
    epochs, channels, condition = ENVIRONMENTS[environment]
    task = tasks.NeuroGym(environment=environment, options={"sigma": 0.0})
    trials = task.trials(rng=1, batch=8, dt=dt)
    assert trials.inputs["stimulus"].shape == (trials.steps, 8, channels)
    assert trials.targets.shape[2] == 3 and condition in trials.conditions
    for name, lasted in epochs.items():
        if lasted is not None:
            expected = np.floor(lasted / float(dt / ms) + 1e-9) * float(dt / ms)
            assert_allclose(np.diff(np.asarray(trials.times(name) / ms), axis=1), expected)
    assert set(trials.conditions["target"]) <= {1, 2}
    answers = trials.targets.argmax(axis=2)
    assert_array_equal(answers, np.where(trials.during("decision"), trials.conditions["target"], 0))
    assert_array_equal(trials.mask[..., 0], trials.during("fixation") | trials.during("decision"))
    fixation = trials.inputs["stimulus"][..., 0]
    assert (fixation[trials.during("fixation")] == 1).all() or environment == "DelayComparison-v0"
    assert task.score(trials.targets, trials).all()
    again = tasks.make("neurogym", **task.arguments).trials(rng=1, batch=8, dt=dt)
    assert_array_equal(again.inputs["stimulus"], trials.inputs["stimulus"])


def test_noise_of_neurogym_is_scaled_with_the_time_step(neurogym):
    for dt in (100 * ms, 25 * ms):
        task = tasks.NeuroGym(environment="PerceptualDecisionMaking-v0", options={"cohs": [0]})
        trials = task.trials(rng=1, batch=200, dt=dt)
        noise = trials.inputs["stimulus"][trials.during("stimulus")][:, 1:]
        assert noise.std() == pytest.approx(1 / np.sqrt(float(dt / ms)), rel=0.1)


def test_delay_comparison_compares(neurogym):
    trials = tasks.NeuroGym(environment="DelayComparison-v0").trials(rng=2, batch=20, dt=100 * ms)
    higher = trials.conditions["v1"] > trials.conditions["v2"]
    assert_array_equal(trials.conditions["target"], np.where(higher, 1, 2))


def test_delayed_match_matches(neurogym):
    trials = tasks.NeuroGym(environment="DelayMatchSample-v0").trials(rng=3, batch=20, dt=100 * ms)
    same = np.isclose(trials.conditions["sample_theta"], trials.conditions["test_theta"])
    assert_array_equal(trials.conditions["target"], np.where(same, 1, 2))


def test_unknown_environment_of_neurogym(neurogym):
    with pytest.raises(ValueError, match="no environment .*; did you mean 'DelayComparison-v0'"):
        tasks.NeuroGym(environment="DelayComparision-v0").trials(1, 1, 100 * ms)
