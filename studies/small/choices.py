"""Psychometric curves: trials at signed coherences, the fitted curve, and a figure."""

import io

import numpy as np
from brian2 import second
from study import model_of, task_of

from brianbridge.analysis import fit_psychometric
from brianbridge.analysis.figures import psychometric_curves
from brianbridge.atomic_files import write_together


def psychometric_trials(point):
    """As many trials for each coherence and choice; which of them have a right answer (coherence above 0)."""
    plan = point.psychometric
    task = task_of(point, {"coherences": plan.coherences})
    step = model_of(point).input("stimulus").dt * second
    trials = task.trials(point.seed + 3000, plan.trials * 2 * len(plan.coherences), step)
    return task, trials, trials.conditions["coherence"] > 0


def signed_choices(task, trials, output):
    """Coherence in percent, positive for choice 1 (the first output), and whether choice 1 was made."""
    target = trials.conditions["target"]
    signed = np.where(target == 0, 1, -1) * trials.conditions["coherence"]
    return signed + 0.0, task.score(output, trials) == (target == 0)


def curve_of(signed, choice):
    """The cumulative Gaussian through the proportions, as numbers."""
    fit = fit_psychometric(signed, choice)
    return {
        "mu": fit.mu,
        "mu_interval": list(fit.mu_interval),
        "sigma": fit.sigma,
        "sigma_interval": list(fit.sigma_interval),
        "coherence": fit.stimulus.tolist(),
        "trials": fit.trials.tolist(),
        "choice_1": fit.proportion.tolist(),
        "choice_1_interval": fit.proportion_interval.tolist(),
    }


def draw(curves, path):
    """All curves in one figure.

    Parameters
    ----------
    curves : dict of str to dict
        By the name of the point, see `curve_of`.
    path : Path
        Of a PNG file.
    """
    fits = {name: _fit_again(curve) for name, curve in curves.items()}
    content = io.BytesIO()
    psychometric_curves(fits, stimulus="coherence (%)").savefig(content, dpi=200, facecolor="white")
    write_together({path: content.getvalue()})


def _fit_again(curve):
    """The fit to the counts of a record."""
    trials, ones = np.array(curve["trials"]), np.rint(np.multiply(curve["trials"], curve["choice_1"]))
    choice = [np.arange(n) < k for n, k in zip(trials, ones)]
    return fit_psychometric(np.repeat(curve["coherence"], trials), np.concatenate(choice), repeats=0)
