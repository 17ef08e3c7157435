"""Rung 10: timescales at a finer time step, with neurons whose memory is known."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import ms
from remembering_network import Waiting, remembering_network

import brianbridge as bb
from brianbridge.analysis import equivalence_of_median
from brianbridge.checks import LADDER, mutants, options
from brianbridge.checks.context import Sizes
from brianbridge.checks.timescales import log_ratios


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(options.LADDERS, "full", Sizes(trials=100, few=1, refinements=(1, 2), full=True))
    monkeypatch.setattr(sys.modules["brianbridge.measurement.timescales"], "KNOWN", (0,))


def climb(trained, task=None, **options):
    report = bb.check(
        trained, task or Waiting(), only=["timescales"], ladder="full", progress=False, **options
    )
    assert "errors" not in report.data, report.data["errors"]
    return report, next(check for check in report.checks if check.number == 10)


@pytest.mark.slow
def test_a_memory_in_steps_fails(monkeypatch):
    monkeypatch.setitem(options.LADDERS, "full", Sizes(trials=60, few=1, refinements=(1, 2), full=True))
    trained, task = remembering_network(120, neurons=14), Waiting(neurons=14)
    assert next(r.mutants for r in LADDER if r.number == 10) == ("decay_per_step",)
    report, check = climb(trained, task, model=mutants.decay_per_step(trained.model))
    assert check.verdict == "fail" and check.reason == "timescales differ"
    assert report.data["timescales"]["median log ratio"] == pytest.approx(np.log(0.5), abs=0.25)
    assert len(report.figures) == 1 and [table.title for table in report.tables][1].startswith("What known")


@pytest.mark.slow
def test_a_memory_in_ms_survives_a_finer_step():
    report, check = climb(remembering_network(100))
    assert check.verdict == "pass", (check.value, check.reason)
    found = report.data["timescales"]
    assert [row["dt_ms"] for row in found["steps"]] == pytest.approx([1, 0.5])
    assert abs(found["median log ratio"]) < 0.2 and found["neurons"] == 24


def test_what_cannot_be_measured_is_not_run():
    trained = remembering_network(1, neurons=12)
    _, check = climb(trained, Waiting(neurons=12))
    assert check.verdict == "not run" and "of 12 neurons show a memory" in check.reason
    _, check = climb(trained, Waiting(wait=300 * ms, neurons=12))
    assert check.verdict == "not run" and "has room for 2 bins" in check.reason
    assert bb.check(trained, Waiting(), only=["timescales"], progress=False).checks[-1].verdict == "not run"


def test_the_mutant_is_the_true_network_at_the_step_of_the_training():
    trained = remembering_network(100, neurons=4)
    trials = Waiting(wait=100 * ms, neurons=4).trials(1, 2, 1 * ms)
    noise = {
        f"cells_stateupdater/{k}": np.random.default_rng(k).normal(size=(trials.steps, 2, 4))
        for k in range(2)
    }
    v = [
        bb.simulate(
            bb.Trained(model=model, inputs=trained.inputs, output="cells.v"),
            trials,
            noise=noise,
            progress=False,
        ).outputs.values
        for model in (trained.model, mutants.decay_per_step(trained.model))
    ]
    assert np.allclose(v[0], v[1], rtol=1e-9, atol=1e-12)


def test_neurons_that_lose_or_keep_their_memory():
    first, second = (
        SimpleNamespace(corrected=np.array(tau), log_likelihood_ratio=np.array(ratio))
        for tau, ratio in [
            ([100, 100, np.nan, np.nan, 50, np.nan], [9, 9, 0, 0, 9, 9]),
            ([200, np.nan, 80, np.nan, np.nan, np.nan], [9, 1, 9, 0, 20, 9]),
        ]
    )
    assert log_ratios(first, second) == pytest.approx([np.log(2), -np.inf, np.inf, np.inf])


def test_equivalence_of_median():
    values = np.array([-0.3, -0.1, -0.05, 0, 0.02, 0.04, 0.1, 0.2, 0.5, np.inf])
    found = equivalence_of_median(values, 0.6)
    assert found.interval == (-0.1, 0.5) and found.difference == pytest.approx(0.03)  # ranks 2 and 9 of 10
    assert found.equivalent and found.p_value == pytest.approx(11 / 1024)
    assert not equivalence_of_median(values, 0.5).equivalent  # 0.5 is not below the margin
    assert not equivalence_of_median(values, 0.1).equivalent
    assert equivalence_of_median([0, 0, 0, 0], 1).interval == (-np.inf, np.inf)
    rng = np.random.default_rng(0)
    wrong = [equivalence_of_median(0.25 + rng.normal(size=30), 0.25).equivalent for _ in range(2000)]
    assert np.mean(wrong) < 0.06
