"""How choices depend on the stimulus: the cumulative Gaussian and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import norm

from .statistics import wilson_interval


@dataclass(frozen=True)
class PsychometricFit:
    """
    A cumulative Gaussian P(choice 1) = Φ((x − μ)/σ) through proportions of choices.

    Attributes
    ----------
    mu : float
        Stimulus at which both choices are equally frequent, in the unit of the stimulus.
    sigma : float
        Width, in the unit of the stimulus; negative where choice 1 becomes rarer as the stimulus grows.
    mu_interval, sigma_interval, sensitivity_interval : tuple of float
        Percentiles of a parametric bootstrap (binomial counts drawn from the fitted curve).
    stimulus : array (levels,)
        The stimuli shown, each once, ascending.
    trials : int array (levels,)
        How often each was shown.
    proportion : array (levels,)
        Share of choice 1.
    proportion_interval : array (levels, 2)
        Wilson intervals of these shares.
    samples : array (repeats, 2)
        μ and 1/σ of each bootstrap sample.
    """

    mu: float
    sigma: float
    mu_interval: tuple[float, float]
    sigma_interval: tuple[float, float]
    sensitivity_interval: tuple[float, float]
    stimulus: np.ndarray
    trials: np.ndarray
    proportion: np.ndarray
    proportion_interval: np.ndarray
    samples: np.ndarray = field(repr=False)

    @property
    def sensitivity(self):
        """
        1/σ, zero for choices that ignore the stimulus (where σ is infinite and its interval says little).
        """
        return 1 / self.sigma

    def __call__(self, stimulus):
        """P(choice 1) at these stimuli."""
        return norm.cdf((np.asarray(stimulus) - self.mu) / self.sigma)


def fit_psychometric(stimulus, choice, *, repeats=1000, level=0.95, seed=0):
    """
    Fit a cumulative Gaussian to choices by least squares.

    The proportion of choice 1 is computed at each stimulus level and all levels weigh the same, as in
    Song, Yang & Wang (2016). The curve is fitted in the form Φ(a + b·x), which stays well defined for a
    network that ignores the stimulus (b = 0, σ infinite).

    Parameters
    ----------
    stimulus : array (trials,)
        Signed stimulus of each trial, such as coherence; its unit is that of μ and σ.
    choice : array (trials,)
        1 (or True) for choice 1, 0 for the other, NaN for no answer (the trial is left out).
    repeats : int
        Bootstrap samples for the intervals.
    level : float
        Coverage of the intervals.
    seed : int
        Of the bootstrap.

    Returns
    -------
    PsychometricFit

    Raises
    ------
    ValueError
        With fewer than two stimulus levels, choices other than 0, 1 and NaN, or arrays of different shapes.

    Notes
    -----
    If choices turn from never to always between two neighbouring levels, the data only say that σ is small
    beside their distance; it is then given as a tenth of the smallest distance between levels.

    Examples
    --------
    >>> coherence = np.repeat([-20, -10, 0, 10, 20], 4000)
    >>> choice = np.random.default_rng(1).normal(coherence, 10) > 2
    >>> fit = fit_psychometric(coherence, choice, repeats=100)
    >>> print(f"{fit.mu:.0f} {fit.sigma:.0f}")
    2 10
    """
    levels, trials, chosen = _count_choices(stimulus, choice)
    curve = _Curve(levels)
    intercept, slope = curve.fit(chosen / trials)
    counts = np.random.default_rng(seed).binomial(
        trials, norm.cdf(intercept + slope * curve.scaled), size=(repeats, len(levels))
    )
    samples = np.array([curve.in_units(*curve.fit(count / trials)) for count in counts]).reshape(-1, 2)
    tails = 50 * (1 - level), 50 * (1 + level)
    mu, sensitivity = curve.in_units(intercept, slope)
    intervals = [
        tuple(map(float, np.percentile(values, tails))) if repeats else (np.nan, np.nan)
        for values in (samples[:, 0], 1 / samples[:, 1], samples[:, 1])
    ]
    return PsychometricFit(
        mu,
        1 / sensitivity,
        *intervals,
        stimulus=levels,
        trials=trials,
        proportion=chosen / trials,
        proportion_interval=wilson_interval(chosen, trials, level),
        samples=samples,
    )


def _count_choices(stimulus, choice):
    """Stimulus levels, trials at each, and how many of these ended with choice 1."""
    stimulus, choice = np.asarray(stimulus, dtype=float), np.asarray(choice, dtype=float)
    if stimulus.shape != choice.shape or stimulus.ndim != 1:
        raise ValueError(
            f"stimulus and choice need one value a trial each, but have shapes {stimulus.shape} and "
            f"{choice.shape}"
        )
    answered = np.isfinite(choice)
    stimulus, choice = stimulus[answered], choice[answered]
    if not np.isin(choice, (0, 1)).all():
        raise ValueError("choice holds values other than 1 (choice 1), 0 (the other) and NaN (no answer)")
    levels, which = np.unique(stimulus, return_inverse=True)
    if len(levels) < 2:
        raise ValueError(
            f"a psychometric curve needs at least two stimulus levels with answers, not {len(levels)}"
        )
    trials = np.bincount(which)
    return levels, trials, np.bincount(which, weights=choice).astype(int)


class _Curve:
    """Φ(a + b·z), where z is the stimulus with mean 0 and SD 1 over the levels."""

    def __init__(self, levels):
        self.centre, self.scale = levels.mean(), levels.std()
        self.scaled = (levels - self.centre) / self.scale
        self.steepest = 10 / np.diff(self.scaled).min()

    def fit(self, proportion):
        """The a and b of the curve closest to these proportions."""
        z = self.scaled

        def misfit(values):
            return norm.cdf(values[0] + values[1] * z) - proportion

        def jacobian(values):
            density = np.exp(-((values[0] + values[1] * z) ** 2) / 2) / np.sqrt(2 * np.pi)
            return np.stack([density, density * z], axis=1)

        rising = 1 if z @ proportion >= 0 else -1
        found = least_squares(misfit, (0, rising), jac=jacobian, method="lm", max_nfev=200).x
        excess = max(1, abs(found[1]) / self.steepest)  # μ = −a/b is left where it is
        return found / excess

    def in_units(self, intercept, slope):
        """μ and 1/σ in the unit of the stimulus."""
        slope = slope or np.finfo(float).tiny
        return float(self.centre - self.scale * intercept / slope), float(slope / self.scale)


@dataclass(frozen=True)
class CueCombination:
    """
    Widths of the psychometric curves with one cue, with the other, and with both.

    Attributes
    ----------
    sigma_first, sigma_second, sigma_both : float
        Fitted widths.
    sigma_optimal : float
        Width with both cues if they are combined by their reliabilities: 1/σ² = 1/σ₁² + 1/σ₂².
    p_not_better : float
        Share of bootstrap samples in which both cues are no better than the better single one.
    optimal_ratio_interval : tuple of float
        95 % interval of σ_both/σ_optimal; 1 inside it is compatible with optimal combination.
    """

    sigma_first: float
    sigma_second: float
    sigma_both: float
    sigma_optimal: float
    p_not_better: float
    optimal_ratio_interval: tuple[float, float]


def compare_cues(first, second, both):
    """
    Ask whether two cues together are better than each alone, and as good as they can be.

    Parameters
    ----------
    first, second, both : PsychometricFit
        Fits with the same number of bootstrap samples.

    Returns
    -------
    CueCombination
        Multisensory enhancement as in Song, Yang & Wang (2016), figure 6.

    Notes
    -----
    The samples of the three fits are paired at random: bootstraps with the same seed go up and down together.
    """
    rng = np.random.default_rng(0)
    sensitivities = [rng.permutation(fit.samples[:, 1]) for fit in (first, second, both)]
    ratio = np.hypot(sensitivities[0], sensitivities[1]) / sensitivities[2]
    not_better = sensitivities[2] <= np.maximum(sensitivities[0], sensitivities[1])
    return CueCombination(
        first.sigma,
        second.sigma,
        both.sigma,
        sigma_optimal=1 / float(np.hypot(first.sensitivity, second.sensitivity)),
        p_not_better=float(np.mean(not_better)),
        optimal_ratio_interval=tuple(map(float, np.percentile(ratio, (2.5, 97.5)))),
    )
