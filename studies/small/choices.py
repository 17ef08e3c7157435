"""Psychometric curves: trials at signed coherences, the fitted curve, and a figure."""

import io

import numpy as np
from brian2 import second
from scipy.stats import norm
from study import model_of, task_of

from brianbridge.analysis import fit_psychometric
from brianbridge.atomic_files import write_together
from brianbridge.figure_style import EXCITATORY, INK, UNSIGNED, figure_style, new_figure


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


@figure_style()
def draw(curves, path):
    """All curves in one figure.

    Parameters
    ----------
    curves : dict of str to dict
        By the name of the point, see `curve_of`.
    path : Path
        Of a PNG file.
    """
    figure = new_figure(2.6)
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for ax, (name, curve) in zip(axes, curves.items()):
        _draw_one(ax, name, curve)
    axes[0].set_ylabel("P(choice 1)")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=200, facecolor="white")
    write_together({path: content.getvalue()})


def _draw_one(ax, name, curve):
    x, p = np.array(curve["coherence"]), np.array(curve["choice_1"])
    low, high = np.array(curve["choice_1_interval"]).T
    fine = np.linspace(x.min(), x.max(), 201)
    ax.axhline(0.5, color=UNSIGNED, linewidth=0.5)
    ax.plot(fine, norm.cdf((fine - curve["mu"]) / curve["sigma"]), color=INK)
    ax.errorbar(x, p, [p - low, high - p], fmt="o", markersize=3, color=EXCITATORY, linewidth=0.8)
    ax.set(xlabel="coherence (%)", ylim=(-0.03, 1.03))
    ax.set_title(f"{name}: μ = {curve['mu']:.1f} %, σ = {curve['sigma']:.1f} %")
