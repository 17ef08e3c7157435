"""
Activity seen along the modes of a low-rank network, and what a change of context does there.

Recurrent weights are a product of input modes, scores and output modes, W = ξ_in Λ ξ_outᵀ (Lin & Huang 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ModeCoordinates:
    """
    Activity along the modes and along what the input adds to them.

    Attributes
    ----------
    kappa : array (..., modes)
        Coordinates κ_μ = ξ_μᵀr/‖ξ_μ‖² on the modes, which need not be orthogonal.
    nu : array (..., inputs)
        The same on the part of each input's weights that is orthogonal to all modes; 0 for an input without
        one.
    outside : array (...,)
        Share of the squared length of r that lies outside the space of modes and inputs.
    """

    kappa: np.ndarray
    nu: np.ndarray
    outside: np.ndarray


def project_on_modes(rates, modes, input_weights=None, *, orthogonalise=False):
    """
    Project activity on the modes of a network.

    Parameters
    ----------
    rates : array (..., units)
        Filtered spikes or rates, such as (trials, time, units).
    modes : array (units, modes)
        Input modes ξ_in, linearly independent.
    input_weights : array (units, inputs), optional
        Each column is split into its part in the space of the modes and the part orthogonal to it.
    orthogonalise : bool
        First make the modes, and the input parts, orthogonal to those before them (Gram-Schmidt, lengths as
        they come out): activity in their space is then the sum of the vectors times their coordinates.

    Returns
    -------
    ModeCoordinates
    """
    rates, modes = np.asarray(rates, dtype=float), np.asarray(modes, dtype=float)
    basis = _orthonormal(modes)
    if basis.shape[1] < modes.shape[1]:
        raise ValueError(f"the {modes.shape[1]} modes are not linearly independent")
    free = np.zeros((len(modes), 0))
    if input_weights is not None:
        _, free = split_input(input_weights, modes)
    if orthogonalise:
        modes, free = _gram_schmidt(modes), _gram_schmidt(free)
    everything = np.concatenate([basis, _orthonormal(free)], axis=1)
    size = np.sum(rates**2, axis=-1)
    inside = np.sum((rates @ everything) ** 2, axis=-1)
    share = np.divide(inside, size, out=np.ones_like(size), where=size > 0)
    return ModeCoordinates(_coordinates(rates, modes), _coordinates(rates, free), np.clip(1 - share, 0, 1))


def split_input(input_weights, modes):
    """
    Split input weights into their part in the space of the modes and the part orthogonal to it.

    Parameters
    ----------
    input_weights : array (units, inputs)
    modes : array (units, modes)

    Returns
    -------
    along, across : array (units, inputs)
        Their sum is `input_weights`. What is left by rounding alone is 0.
    """
    input_weights = np.asarray(input_weights, dtype=float)
    basis = _orthonormal(np.asarray(modes, dtype=float))
    along = basis @ (basis.T @ input_weights)
    across = input_weights - along
    negligible = np.linalg.norm(across, axis=0) <= 1e-12 * np.linalg.norm(input_weights, axis=0)
    return along, np.where(negligible, 0, across)


def mode_importance(input_modes, scores, output_modes):
    """
    Rank modes by the size of their vectors and scores.

    Parameters
    ----------
    input_modes, output_modes : array (units, modes)
    scores : array (modes,)

    Returns
    -------
    array (modes,)
        ``τ_μ = χ·(‖ξ_in,μ‖ + ‖ξ_out,μ‖) + |λ_μ|`` in the order given, with ``χ = Σ|λ| / Σ(‖ξ_in‖ +
        ‖ξ_out‖)``, so that vectors and scores weigh the same (Lin & Huang 2024, figure 4).
    """
    lengths = np.linalg.norm(input_modes, axis=0) + np.linalg.norm(output_modes, axis=0)
    scores = np.abs(scores)
    return scores.sum() / lengths.sum() * lengths + scores


@dataclass(frozen=True)
class ContextSwitch:
    """
    Trajectories after the context has changed.

    Attributes
    ----------
    to_old, to_new : array (trials, time)
        Distance to the centroid where a trial would have ended, and to the one where it should end now.
    switched : bool array (trials,)
        Whether the last point is nearer to the new centroid than to any other.
    switch_step : int array (trials,)
        First step from which on the new centroid stays nearer than the old one; −1 if there is none.
    """

    to_old: np.ndarray
    to_new: np.ndarray
    switched: np.ndarray
    switch_step: np.ndarray

    @property
    def share_switched(self):
        """Share of trials that end nearest to the new centroid."""
        return float(self.switched.mean())


def follow_context_switch(trajectories, centroids, old, new):
    """
    Measure whether trajectories move to the attractor of the new context.

    Parameters
    ----------
    trajectories : array (trials, time, dimensions)
        In mode space, of trials in which the context changes.
    centroids : array (clusters, dimensions)
        Mean end points of trials without change, from `end_centroids`.
    old, new : int array (trials,)
        Cluster that belongs to a trial before and after the change.

    Returns
    -------
    ContextSwitch
    """
    trajectories, trial = np.asarray(trajectories, dtype=float), np.arange(len(trajectories))
    distances = np.linalg.norm(trajectories[:, :, None] - np.asarray(centroids), axis=-1)
    to_old, to_new = distances[trial, :, old], distances[trial, :, new]
    away = to_new >= to_old
    last_away = away.shape[1] - 1 - away[:, ::-1].argmax(axis=1)
    step = np.where(away.any(axis=1), last_away + 1, 0)
    return ContextSwitch(
        to_old,
        to_new,
        switched=distances[:, -1].argmin(axis=1) == np.asarray(new),
        switch_step=np.where(step < away.shape[1], step, -1),
    )


def end_centroids(end_states, cluster):
    """
    Mean end state of each cluster, and how well the clusters are separated.

    Parameters
    ----------
    end_states : array (trials, dimensions)
    cluster : array (trials,)
        Such as the combination of context and sign.

    Returns
    -------
    centroids : array (clusters, dimensions)
        Clusters in ascending order.
    accuracy : float
        Share of trials nearest to the centroid of their own cluster, which is computed without the trial
        itself.
    """
    end_states = np.asarray(end_states, dtype=float)
    labels, which = np.unique(cluster, return_inverse=True)
    counts = np.bincount(which)
    if len(labels) < 2 or counts.min() < 2:
        raise ValueError("separation needs two clusters or more, with two trials or more each")
    centroids = np.array([end_states[which == number].mean(axis=0) for number in range(len(labels))])
    distances = np.linalg.norm(end_states[:, None] - centroids, axis=-1)
    trial = np.arange(len(which))
    distances[trial, which] *= counts[which] / (counts[which] - 1)  # leaves the trial out of its own mean
    return centroids, float(np.mean(distances.argmin(axis=1) == which))


def _coordinates(rates, vectors):
    """Coordinates ξᵀr/‖ξ‖² on each column; 0 on a column of zeros."""
    squares = np.sum(vectors**2, axis=0)
    return np.divide(
        rates @ vectors, squares, out=np.zeros(rates.shape[:-1] + squares.shape), where=squares > 0
    )


def _gram_schmidt(vectors):
    """Columns orthogonal to those before them, what is left of each; 0 where only rounding is."""
    basis, triangle = np.linalg.qr(vectors)
    left = np.diag(triangle)
    return basis * np.where(np.abs(left) > 1e-12 * np.linalg.norm(vectors, axis=0), left, 0)


def _orthonormal(vectors):
    """An orthonormal basis of what the columns span (units, rank)."""
    basis, lengths, _ = np.linalg.svd(vectors, full_matrices=False)
    return basis[:, lengths > 1e-10 * lengths.max(initial=0)]
