"""In how many dimensions activity varies, and which ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import subspace_angles


@dataclass(frozen=True)
class PrincipalComponents:
    """
    Directions of largest variance.

    Attributes
    ----------
    mean : array (features,)
    components : array (components, features)
        Orthonormal, in descending order of variance; the largest entry of each is positive.
    variance : array (components,)
    """

    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray

    @property
    def share(self):
        """Share of the total variance of each component: array (components,)."""
        return self.variance / self.variance.sum()

    def project(self, data):
        """Coordinates of data (..., features) along the components: array (..., components)."""
        return (np.asarray(data) - self.mean) @ self.components.T

    def needed_for(self, share):
        """How many components hold this share (such as 0.9) of the variance."""
        return int(np.searchsorted(np.cumsum(self.share), share - 1e-12) + 1)


def principal_components(data):
    """
    Principal components of activity, with units as features.

    Parameters
    ----------
    data : array (..., units)
        All other axes (conditions, trials, time) are samples. Song, Yang & Wang (2016) leave units out whose
        rate has a standard deviation below 0.1.

    Returns
    -------
    PrincipalComponents
        All of them; variances with the number of samples less one as divisor.
    """
    data = np.asarray(data, dtype=float)
    data = data.reshape(-1, data.shape[-1])
    if len(data) < 2:
        raise ValueError("principal components need two samples or more")
    mean = data.mean(axis=0)
    _, lengths, components = np.linalg.svd(data - mean, full_matrices=False)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return PrincipalComponents(mean, components * np.sign(largest), lengths**2 / (len(data) - 1))


def temporal_components(data):
    """
    Principal components over time: time courses that units and trials share.

    Parameters
    ----------
    data : array (..., time)
        Such as (units, trials, time) of spike trains filtered with a narrow Gaussian. Every unit in every
        trial is a sample.

    Returns
    -------
    PrincipalComponents
        Its components are time courses: eigenvectors of the covariance of times with times (DePasquale,
        Churchland & Abbott 2016, figure 5).
    """
    return principal_components(data)


def principal_angles(first, second):
    """
    Angles between two subspaces.

    Parameters
    ----------
    first, second : array (components, features)
        Vectors that span them, such as the first ten `PrincipalComponents.components` of two networks over
        time.

    Returns
    -------
    array (components of the smaller one,)
        In degrees, ascending.
    """
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    return np.rad2deg(subspace_angles(first.T, second.T))[::-1]


def variance_explained(target, scores):
    """
    Share of a target's variance that linear regression on the first k components explains, for each k.

    Parameters
    ----------
    target : array (samples, outputs)
        Such as muscle activity over time.
    scores : array (samples, components)
        Coordinates along the components, the most important first.

    Returns
    -------
    array (components,)
        For k = 1, 2, ...; all outputs together.
    """
    target, scores = np.asarray(target, dtype=float), np.asarray(scores, dtype=float)
    target = target.reshape(len(scores), -1)
    target = target - target.mean(axis=0)
    basis, triangle = np.linalg.qr(scores - scores.mean(axis=0))
    # A component that the ones before it already span explains nothing more.
    new = np.abs(np.diag(triangle)) > 1e-10 * np.abs(triangle).max()
    gains = np.where(new, np.sum((basis.T @ target) ** 2, axis=1), 0)
    return np.cumsum(gains) / np.sum(target**2)
