"""Where a map is larger than chance: cluster-based permutation tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import generate_binary_structure, label


@dataclass(frozen=True)
class Clusters:
    """
    Connected regions of a map above a threshold, each judged by its mass.

    Attributes
    ----------
    labels : int array, of the shape of the map
        0 outside all clusters, otherwise the number of the cluster, from 1.
    mass : array (clusters,)
        Sum of the values of a cluster.
    p_values : array (clusters,)
        Share of null maps (and the observed one) whose largest cluster is at least as heavy: the chance that
        any cluster of this mass is seen without effect, so no further correction is needed.
    """

    labels: np.ndarray
    mass: np.ndarray
    p_values: np.ndarray

    def significant(self, level=0.05):
        """Points in clusters with P below the level: bool array of the shape of the map."""
        return np.isin(self.labels, 1 + np.flatnonzero(self.p_values < level))


def find_clusters(observed, null_maps, threshold):
    """
    Test clusters of a map against the heaviest cluster of each null map (Maris & Oostenveld 2007).

    Parameters
    ----------
    observed : array, of any number of axes
    null_maps : iterable of arrays
        Maps of the same shape from permuted data.
    threshold : float
        Points above it form clusters; neighbours are connected, diagonal ones too. It decides which shapes of
        effect are found, not how often one is found that is not there.

    Returns
    -------
    Clusters
    """
    labels, mass = _masses(observed, threshold)
    heaviest = np.array([_masses(null, threshold)[1].max(initial=0) for null in null_maps])
    if not len(heaviest):
        raise ValueError("null_maps is empty: a permutation test needs maps from permuted data")
    p_values = (1 + np.sum(heaviest >= mass[:, None], axis=1)) / (1 + len(heaviest))
    return Clusters(labels, mass, p_values)


def _masses(values, threshold):
    labels, count = label(values > threshold, generate_binary_structure(values.ndim, values.ndim))
    return labels, np.bincount(labels.ravel(), weights=values.ravel(), minlength=count + 1)[1:]
