"""Networks that are lost on the way: a check fails them, and says in how many trials."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, TimedArray, ms

import brianbridge as bb
from brianbridge.checks import LADDER, options
from brianbridge.checks.context import Context, Sizes
from brianbridge.tasks import Trials
from brianbridge.tasks.decisions import read_output

TRIALS = 40


@pytest.fixture(autouse=True)
def small(monkeypatch):
    sizes = Sizes(trials=TRIALS, few=2, refinements=(1, 2), full=False)
    monkeypatch.setitem(options.LADDERS, "quick", sizes)


class Follow:
    """The output has to follow the sign of a stimulus, which is far from zero in some trials."""

    name, arguments = "follow", {}

    def trials(self, rng, batch, dt):
        sign = np.where(np.arange(batch) % 2, -1.0, 1.0)
        stimulus = np.tile(sign[:, None], (30, 1, 1))
        shape = 30, batch, 1
        return Trials({"stimulus": stimulus}, np.zeros(shape), np.ones(shape), {}, {"sign": sign}, 1 * ms)

    def score(self, output, trials):
        return read_output(output, trials)[-1, :, 0] * trials.conditions["sign"] > 0

    def outcomes(self, output, trials):
        return np.where(self.score(output, trials), "correct", "incorrect")


def network(equation):
    stimulus = TimedArray(np.zeros((30, 1)), dt=1 * ms)
    cells = NeuronGroup(
        1,
        f"dv/dt = {equation} : 1",
        threshold="v > 1e300",
        reset="",
        method="euler",
        dt=1 * ms,
        name="cells",
        namespace={"stimulus": stimulus},
    )
    return bb.Trained(
        model=bb.wrap(Network(cells)), inputs={"stimulus": "stimulus"}, output="cells.v", task="follow"
    )


SOUND = "(stimulus(t, i) - v)/(10*ms)"
HALF = "(stimulus(t, i) - v)/(10*ms) + exp(1e5*v)/ms*int(v > 0.5)"  # positive stimuli are lost
WHOLE = "(stimulus(t, i) - v)/(10*ms) + exp(1e5*v**2)*v/ms"


def climb(trained, rung, **options):
    report = bb.check(trained, Follow(), only=[rung], progress=False, **options)
    assert "errors" not in report.data, report.data["errors"]
    name = next(one.name for one in LADDER if one.key == rung)
    return next(check for check in report.checks if check.name == name), report.data[rung]


def test_trials_that_are_not_finite_are_incorrect():
    context = Context(network(SOUND), Follow(), sizes=options.LADDERS["quick"])
    output = np.broadcast_to(context.trials.conditions["sign"][:, None], (30, TRIALS, 1)).copy()
    output[3, :2, 0] = np.nan, np.inf
    assert context.correct(output).tolist() == [False, False] + [True] * (TRIALS - 2)


def test_a_sound_network_has_lost_no_trial():
    check, data = climb(network(SOUND), "performance")
    assert check.verdict == "pass" and data["diverged trials"] == [0, 0]
    assert "diverged" not in check.reason


@pytest.mark.parametrize("equation, lost", [(HALF, TRIALS // 2), (WHOLE, TRIALS)])
def test_a_network_that_diverges_fails_at_every_step_alike(equation, lost):
    check, data = climb(network(equation), "performance")
    assert check.verdict == "fail" and data["diverged trials"] == [lost, lost]
    assert f"{lost} of {TRIALS} trials diverged at 1 ms" in check.reason
    assert data["steps"][0]["accuracy"] == pytest.approx(1 - lost / TRIALS)
    assert data["steps"][0]["incorrect"] == pytest.approx(lost / TRIALS)


def test_a_network_that_diverges_fails_the_second_integrator():
    check, data = climb(network(HALF), "integrator")
    assert check.verdict == "fail" and data["diverged trials"] == [TRIALS // 2] * 2
    assert f"{TRIALS // 2} of {TRIALS} trials diverged" in check.reason


def test_a_perturbation_under_which_a_network_diverges_is_counted_like_the_others():
    trained = network("(stimulus(t, i) - v)/(10*ms) + k*exp(1e5*k*v)/ms*int(v > 0.5) : 1\nk")
    lost, kept = bb.perturb.inject("cells", k=1), bb.perturb.clamp("cells", v=0)
    found = bb.perturb.outcomes(trained, Follow(), [lost, kept], TRIALS, progress=False)
    half = TRIALS // 2
    assert [counts.tolist() for counts in found.counts.values()] == [
        [[TRIALS, 0, 0]],
        [[half, half, 0]],  # positive stimuli are lost
        [[0, TRIALS, 0]],
    ]
    assert (
        [row["diverged"] for row in found.rows] == [row["diverged"] for row in found.pooled] == [0, half, 0]
    )


@pytest.mark.parametrize("equation, verdict, lost", [(SOUND, "pass", 0), (WHOLE, "fail", TRIALS)])
def test_a_network_that_diverges_in_both_precisions_fails(equation, verdict, lost, monkeypatch):
    sizes = Sizes(trials=80, few=2, refinements=(1, 2), full=False)
    monkeypatch.setitem(options.LADDERS, "quick", sizes)
    check, data = climb(network(equation), "precision")
    assert check.verdict == verdict and data["diverged trials"] == [2 * lost] * 2, check.reason


def test_the_controls_of_a_network_that_diverges_fail():
    assert climb(network(WHOLE), "controls")[0].verdict == "fail"


def test_where_the_text_has_dt_performance_is_kept():
    """Not applicable, but what was measured at the training's step is in the report."""
    trained = network(SOUND)
    cells = trained.model["cells"]
    stepwise = replace(cells, codes={"spike": "v += dt/ms"})
    check, data = climb(replace(trained, model=trained.model.with_group(stepwise)), "performance")
    assert check.verdict == "not applicable" and "contains dt" in check.reason and "100% of" in check.value
    assert [row["accuracy"] for row in data["steps"]] == [1.0]
