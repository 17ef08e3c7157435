"""Controls of task performance: what must be beaten, and what is only told."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray
from brian2 import ms

import brianbridge as bb
from brianbridge.checks.context import Context, Sizes
from brianbridge.checks.controls import measure

OSCILLATION = bb.tasks.make("oscillation", period=100 * ms, oscillation=100 * ms)
XOR = bb.tasks.make("temporal_xor", pause="uniform(10 ms, 300 ms)", response=50 * ms, gap=10 * ms)


def controlled(task, answer, full=False):
    """The finding for a network with this answer; any other network says nothing."""
    trained = bb.Trained(bb.load("li2020", cells=5, seed=1), inputs={}, output="out.o")
    context = Context(trained, task, sizes=Sizes(trials=60, few=1, full=full))
    outputs = answer(context.trials)

    def simulated(model=None):
        return SimpleNamespace(outputs=xarray.DataArray(outputs if model is None else 0 * outputs))

    context.simulated = simulated
    finding = measure(context)
    return finding, {row["control"]: row for row in finding.data["controls"]}


def test_where_all_trials_want_the_same_labels_show_nothing():
    finding, rows = controlled(OSCILLATION, lambda trials: trials.targets)
    assert finding.verdict == "pass" and finding.data["accuracy"] == 1
    assert rows["shuffled labels"]["accuracy"] == 1 and rows["shuffled labels"]["must be beaten"] == "no"
    assert "all trials want the same" in finding.reason and finding.detects == ""
    assert controlled(OSCILLATION, lambda trials: 0 * trials.targets)[0].verdict == "fail"


def test_to_know_when_is_not_to_know_what():
    """Always the same half sine, at its own time in every trial; labels come with the time of others."""
    finding, rows = controlled(XOR, lambda trials: np.abs(trials.targets))
    assert rows["shuffled labels"]["P (Holm)"] < 0.01 < 0.4 < rows["constant answer"]["accuracy"]
    assert finding.verdict == "fail" and rows["constant answer"]["P (Holm)"] > 0.05
    assert controlled(XOR, lambda trials: trials.targets)[0].verdict == "pass"


def test_controls_that_are_left_out_are_named(monkeypatch):
    finding, rows = controlled(XOR, lambda trials: trials.targets)
    assert "untrained" not in rows and "left out: untrained (not given)" in finding.reason
    monkeypatch.setattr("brianbridge.checks.controls.without_recurrence", lambda model, output: None)
    monkeypatch.setattr("brianbridge.checks.controls.refitted_output", lambda context, model: None)
    finding, rows = controlled(XOR, lambda trials: trials.targets, full=True)
    assert set(rows) == {"shuffled labels", "constant answer", "shuffled values"}
    assert "W = 0 (no recurrent" in finding.reason and "readout only (the output" in finding.reason


@pytest.mark.parametrize("sign", ["targets", "conditions"])
def test_labels_are_those_of_the_conditions_where_all_targets_are_alike(sign):
    class Sign:
        name, arguments = "sign", {}

        def trials(self, rng, batch, dt):
            wanted = np.where(np.arange(batch) % 3, 1.0, -1.0)
            targets = np.tile(wanted[:, None], (10, 1, 1)) * (sign == "targets")
            return bb.tasks.Trials({}, targets, np.ones((10, batch, 1)), {}, {"sign": wanted}, dt)

        def score(self, output, trials):
            return output[-1, :, 0] * trials.conditions["sign"] > 0

    finding, rows = controlled(Sign(), lambda trials: np.tile(trials.conditions["sign"][:, None], (10, 1, 1)))
    assert finding.verdict == "pass" and rows["constant answer"]["accuracy"] == pytest.approx(2 / 3)
    assert rows["constant answer"]["must be beaten"] == "no"  # all trials have the same epochs
