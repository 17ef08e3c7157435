"""Rung 7: how well the network does its task at each time step."""

import numpy as np

from brianbridge.analysis import equivalence_of_paired_proportions, holm, wilson_interval
from brianbridge.checks.equivalence import detectable, equivalence_verdict
from brianbridge.checks.finding import Finding, Table
from brianbridge.checks.lost_trials import with_lost_trials
from brianbridge.checks.step_dependence import step_dependence
from brianbridge.report import CaptionedFigure
from brianbridge.report.figures import accuracy_by_dt
from brianbridge.simulation.divergence import decisions_of, diverged
from brianbridge.simulation.result import OUTCOMES

__all__ = ["measure", "plot"]


def measure(context):
    """The same fresh trials at every time step, each with noise of its own.

    The difference to the training's time step is tested for equivalence, trial by trial, and the tests are
    corrected for their number by Holm's method.
    """
    margin = context.margins["performance"]
    coarse = context.correct(context.simulated().outputs)
    rows = [_row(context.simulated(), coarse, None)]
    lost = {_at(context.training_dt): _lost(context.simulated())}
    dependent = step_dependence(context.trained.model)
    tests = []
    for number, dt in enumerate(() if dependent else context.others, start=1):
        simulated = context.simulated(dt, noise_seed=number)
        correct = context.correct(simulated.outputs)
        tests.append(equivalence_of_paired_proportions(correct, coarse, margin))
        rows.append(_row(simulated, correct, tests[-1]))
        lost[_at(dt)] = _lost(simulated)
    data = {"trials": len(coarse), "diverged trials": list(lost.values()), "steps": rows}
    if not tests:
        ending, said = with_lost_trials("not applicable", lost, len(coarse), margin)
        return Finding(
            ending,
            value=f"{coarse.mean():.0%} of {len(coarse)} fresh trials are correct {_at(context.training_dt)}",
            reason="; ".join(
                [
                    f"{dependent}: another time step is another model"
                    if dependent
                    else "only the training's time step was asked for",
                    *said,
                ]
            ),
            data=data,
            tables=[_table(rows)],
        )
    corrected = holm([test.p_value for test in tests])
    for row, p_value in zip(rows[1:], corrected):
        row["P (Holm)"] = float(p_value)
    worst = max(tests, key=lambda test: test.p_value)  # corrected, several may be the same
    ending, reason = equivalence_verdict(worst, corrected.max())
    ending, said = with_lost_trials(ending, lost, len(coarse), margin)
    return Finding(
        ending,
        value="; ".join(f"{row['accuracy']:.0%} at {row['dt (ms)']:g} ms" for row in rows)
        + f" (n = {len(coarse)})",
        reason="; ".join(filter(None, [reason, *said])),
        detects=detectable(margin, *tests),
        data=data,
        tables=[_table(rows)],
    )


def _row(simulated, correct, seen):
    low, high = wilson_interval(correct.sum(), len(correct))
    rates = [simulated.rates(name) for name in simulated.spikes]
    row = {
        "dt (ms)": simulated.dt * 1e3,
        "accuracy": float(correct.mean()),
        "95 % from": float(low),
        "95 % to": float(high),
        "mean rate (Hz)": float(np.concatenate(rates).mean()) if rates else None,
        "difference (points)": 100 * seen.difference if seen else None,
        "90 % from": 100 * seen.interval[0] if seen else None,
        "90 % to": 100 * seen.interval[1] if seen else None,
        "P (Holm)": None,
    }
    decisions = decisions_of(simulated)
    return row | {name: float(np.mean(decisions == name)) for name in OUTCOMES}


def _lost(simulated):
    return int(diverged(simulated.outputs).sum())


def _at(dt):
    return f"at {dt * 1e3:g} ms"


def _table(rows):
    return Table.of_rows(
        "Task performance at each time step",
        rows,
        "The same fresh trials at each step, in Brian2, noise drawn anew. Intervals of accuracy: Wilson; "
        "of the paired difference: Agresti and Min.",
    )


def plot(finding):
    """Accuracy against the time step."""
    rows = finding.data.get("steps", [])
    if len(rows) < 2:
        return []
    figure = accuracy_by_dt(
        [row["dt (ms)"] for row in rows],
        [row["accuracy"] for row in rows],
        [[row["95 % from"], row["95 % to"]] for row in rows],
    )
    return [
        CaptionedFigure(
            figure,
            f"Fraction of n = {finding.data['trials']} fresh trials that are correct in Brian2, "
            "with Wilson's 95 % intervals. Nothing was retrained.",
            "Accuracy of the trained network against the time step",
            "Task performance",
        )
    ]
