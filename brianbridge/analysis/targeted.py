"""
Targeted dimensionality reduction: axes of the population that go with choice, stimulus and context.

Mante, Sussillo, Shenoy & Newsome (2013), as used by Song, Yang & Wang (2016), figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .aligned_averages import condition_averages
from .principal import principal_components


@dataclass(frozen=True)
class TargetedAxes:
    """
    Axes of task variables in the space of units.

    Attributes
    ----------
    names : tuple of str
        Task variables, in the order of orthogonalisation.
    coefficients : array (variables, time, units)
        Regression of z-scored rates on each variable. To count them relative to each unit's preferred choice
        (Song et al.), multiply by the sign of its d′.
    peak : int array (variables,)
        Step at which the denoised coefficients of a variable are largest.
    axes : array (variables, units)
        Orthonormal.
    mean, sd : array (units,)
        Of the rates, for z-scores.
    """

    names: tuple[str, ...]
    coefficients: np.ndarray
    peak: np.ndarray
    axes: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def project(self, rates):
        """Coordinates of rates (..., units) along the axes: array (..., variables)."""
        return (np.asarray(rates) - self.mean) / self.sd @ self.axes.T


def targeted_axes(rates, variables, *, interactions=True, components=12):
    """
    Find the axes of task variables by regression.

    Parameters
    ----------
    rates : array (trials, time, units)
        Smoothed, in time bins (published: Gaussian of 50 ms, bins of 50 ms), of units that are active
        (published: standard deviation above 0.1).
    variables : dict of str to array (trials,)
        Task variables in the order of orthogonalisation (published: choice, motion, colour, context), scaled
        to ±1.
    interactions : bool
        Whether the regression also holds the products of all pairs; they get no axis.
    components : int
        Coefficients are projected on so many principal components of the averages over conditions (published:
        12).

    Returns
    -------
    TargetedAxes

    Raises
    ------
    ValueError
        If variables (with their products) are linearly dependent, or units never vary.
    """
    rates = np.asarray(rates, dtype=float)
    mean, sd = rates.mean(axis=(0, 1)), rates.std(axis=(0, 1))
    if not (sd > 0).all():
        raise ValueError(f"{np.sum(sd == 0)} units never vary; leave them out, they have no z-score")
    scores = (rates - mean) / sd
    columns = {name: np.asarray(values, dtype=float) for name, values in variables.items()}
    coefficients = _regress(scores, columns, interactions)

    _, averages = condition_averages(scores, columns)
    kept = principal_components(averages).components[:components]
    denoised = coefficients @ kept.T @ kept
    peak = np.linalg.norm(denoised, axis=2).argmax(axis=1)
    at_peak = denoised[np.arange(len(peak)), peak]
    basis, triangle = np.linalg.qr(at_peak.T)
    axes = (basis * np.where(np.diag(triangle) < 0, -1, 1)).T  # each points to where its variable grows
    return TargetedAxes(tuple(columns), coefficients, peak, axes, mean, sd)


def _regress(scores, columns, interactions):
    """Coefficients of the variables (variables, time, units); products and a constant are regressed out."""
    products = [a * b for a, b in combinations(columns.values(), 2)] if interactions else []
    design = np.stack([*columns.values(), *products, np.ones(len(scores))], axis=1)
    flat = scores.reshape(len(scores), -1)
    found, _, rank, _ = np.linalg.lstsq(design, flat)
    if rank < design.shape[1]:
        raise ValueError(
            f"the variables {', '.join(columns)} are linearly dependent over these trials, "
            f"as where one never varies or two always agree; leave one out, or set interactions=False"
        )
    return found[: len(columns)].reshape(len(columns), *scores.shape[1:])
