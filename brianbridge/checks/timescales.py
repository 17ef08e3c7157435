"""Rung 10: whether the timescales of neurons survive a finer time step."""

import numpy as np
from brian2 import ms

from brianbridge.analysis import equivalence_of_median
from brianbridge.analysis.figures import paired_timescales
from brianbridge.analysis.timescales import EVIDENCE
from brianbridge.checks.equivalence import why_not_equivalent
from brianbridge.checks.finding import Finding, NotApplicable, NotRun, verdict
from brianbridge.checks.step_dependence import step_dependence
from brianbridge.measurement.stationary import stationary_trials
from brianbridge.measurement.timescale_report import rows_table
from brianbridge.measurement.timescales import timescales_of
from brianbridge.report import CaptionedFigure

__all__ = ["log_ratios", "measure", "plot"]

LENGTH, SETTLE = 1000, 200  # ms
MOST_TRIALS = 200
FEWEST = 10  # neurons that show a memory


def measure(context):
    """Timescales at the training's step and at the finest one: the same trials, noise of their own.

    The corrected estimate decides, since the published one is mostly noise where neurons have no memory.
    """
    dependent = step_dependence(context.trained.model)
    if dependent:
        raise NotApplicable(f"{dependent}: another time step is another model")
    if not context.finer:
        raise NotApplicable("no finer time step than the training's was asked for")
    if not context.model.spiking:
        raise NotApplicable("no neuron spikes: there are no spike counts")
    coarse, fine = _measured(context)
    ratios = log_ratios(coarse.fitted, fine.fitted)
    seen = [found.summary for found in (coarse, fine)]
    if len(ratios) < FEWEST:
        raise NotRun(
            f"{len(ratios)} of {seen[0]['neurons']} neurons show a memory in {seen[0]['trials']} trials of "
            f"{seen[0]['epoch']!r}, {FEWEST} are needed. The published rules include {seen[0]['included']}, "
            "but they include neurons without memory as well."
        )
    margin = context.margins["timescales"]
    found = equivalence_of_median(ratios, margin)
    reason = ""
    if not found.equivalent:
        reason = why_not_equivalent(found, "timescales differ", "the interval reaches beyond the margin")
    low, high = np.exp(found.interval)
    return Finding(
        verdict(found.equivalent),
        value=f"median of {_text(seen[1])}, of {_text(seen[0])}; paired ratio {np.exp(found.difference):.3g} "
        f"(90 % {low:.3g} to {high:.3g}, n = {len(ratios)} neurons)",
        reason=reason,
        detects=f"a change by a factor of {np.exp(margin):.3g}, missed in 5 % at most"
        if np.isfinite(found.interval).all()
        else "none: too few pairs",
        data={
            "steps": seen,
            "neurons": len(ratios),
            "median log ratio": found.difference,
            "90 % interval": list(found.interval),
            "P (not equivalent)": found.p_value,
            "corrected (ms)": [coarse.fitted.corrected, fine.fitted.corrected],
            "published (ms)": [coarse.fitted.published, fine.fitted.published],
            "known": coarse.bias,
        },
        tables=[
            rows_table(
                "Timescales at two time steps", seen, "Medians over neurons; fresh noise at each step."
            ),
            rows_table(
                "What known timescales read",
                coarse.bias,
                "Simulated Poisson neurons with as many trials and bins: the bias of either estimate.",
            ),
        ],
    )


def _measured(context):
    number = min(context.sizes.trials, MOST_TRIALS)
    try:
        _, trials = stationary_trials(
            context.trained, context.task, number, None, LENGTH + SETTLE, context.seed + 3000
        )
        found = []
        for dt in (None, context.finer[-1]):
            simulated = context.run(context.model, trials, dt, seed=context.seed + len(found) * 1000)
            found.append(timescales_of(simulated, settle=SETTLE * ms, length=LENGTH * ms))
    except ValueError as why:
        raise NotRun(str(why)) from None
    return found


def log_ratios(first, second):
    """log(second/first) of the corrected timescales of neurons that have a memory in either.

    Where a neuron shows none in the other, the ratio is infinite, and so it is where a memory outlasts the
    window. A median bears that, and to leave these neurons out would hide that timescales have vanished.

    Parameters
    ----------
    first, second : Timescales

    Returns
    -------
    array (neurons,)
    """
    lengths = []
    for found in (first, second):
        unknown = np.where(found.log_likelihood_ratio > EVIDENCE, np.inf, 0.0)
        lengths.append(np.where(np.isfinite(found.corrected), found.corrected, unknown))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(lengths[1]) - np.log(lengths[0])
    return ratios[~np.isnan(ratios)]


def _text(seen):
    return (
        f"{seen['corrected_ms']:.3g} ms at {seen['dt_ms']:g} ms ({seen['with_corrected']} with a memory; "
        f"published {seen['published_ms']:.3g} ms, {seen['included']} included)"
    )


def plot(finding):
    """Timescales at the finer step against those at the training's."""
    if "corrected (ms)" not in finding.data:
        return []
    first, second = (np.array(values, dtype=float) for values in finding.data["corrected (ms)"])
    steps = [f"{row['dt_ms']:g} ms" for row in finding.data["steps"]]
    return [
        CaptionedFigure(
            paired_timescales(first, second, [f"at dt = {step}" for step in steps]),
            f"Corrected timescales of n = {int(np.isfinite(first + second).sum())} neurons that have one at "
            f"both steps, {finding.data['steps'][0]['trials']} trials each.",
            "Timescales of neurons at a finer time step against those at the training's",
            "Timescales",
        )
    ]
