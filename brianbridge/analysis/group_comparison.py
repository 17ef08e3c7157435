"""Parameters of two groups of neurons or networks: pooled, and with the network as the unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp, mannwhitneyu, ttest_ind, ttest_rel, wilcoxon

from .statistics import holm


@dataclass(frozen=True)
class GroupComparison:
    """
    Two samples side by side; every P value is two-sided.

    Attributes
    ----------
    n : tuple of int
    median, mean, sd : tuple of float
        Of the first and of the second sample, in the unit of the values.
    exceedance : float
        Probability that a value of the first sample exceeds one of the second; 0.5 without difference.
    p_rank_sum : float
        Wilcoxon rank-sum (Mann-Whitney) test.
    p_t, p_welch : float
        Student's t test, and Welch's for unequal variances.
    ks : float
        Largest distance between the two cumulative distributions.
    p_ks : float
        Kolmogorov-Smirnov test.
    """

    n: tuple[int, int]
    median: tuple[float, float]
    mean: tuple[float, float]
    sd: tuple[float, float]
    exceedance: float
    p_rank_sum: float
    p_t: float
    p_welch: float
    ks: float
    p_ks: float


def compare_groups(first, second):
    """
    Compare two independent samples.

    Parameters
    ----------
    first, second : array (samples,)
        Values that are not finite are left out.

    Returns
    -------
    GroupComparison
    """
    samples = [np.asarray(values, dtype=float).ravel() for values in (first, second)]
    samples = [values[np.isfinite(values)] for values in samples]
    if min(map(len, samples)) < 2:
        raise ValueError(f"each group needs two values or more, but they have {[len(x) for x in samples]}")
    ranks = mannwhitneyu(*samples)
    distance = ks_2samp(*samples)
    return GroupComparison(
        n=tuple(map(len, samples)),
        median=tuple(float(np.median(values)) for values in samples),
        mean=tuple(float(np.mean(values)) for values in samples),
        sd=tuple(float(np.std(values, ddof=1)) for values in samples),
        exceedance=float(ranks.statistic / (len(samples[0]) * len(samples[1]))),
        p_rank_sum=float(ranks.pvalue),
        p_t=float(ttest_ind(*samples).pvalue),
        p_welch=float(ttest_ind(*samples, equal_var=False).pvalue),
        ks=float(distance.statistic),
        p_ks=float(distance.pvalue),
    )


@dataclass(frozen=True)
class SignComparison:
    """
    A parameter of excitatory and inhibitory neurons (first and second).

    Attributes
    ----------
    pooled : GroupComparison
        Neurons of all networks together. Neurons of a network are not independent, so its P values are too
        small.
    network_means : array (networks, 2)
        Mean over excitatory and over inhibitory neurons of each network.
    networks : array (networks,)
        Their labels.
    p_signed_rank, p_paired_t : float
        Excitatory against inhibitory with the network as the unit (two-sided); NaN for fewer than two
        networks.
    p_signed_rank_holm : float
        `p_signed_rank`, corrected for the number of parameters compared together.
    """

    pooled: GroupComparison
    network_means: np.ndarray
    networks: np.ndarray
    p_signed_rank: float
    p_paired_t: float
    p_signed_rank_holm: float


def compare_signs(parameters, excitatory, network):
    """
    Compare parameters of excitatory and inhibitory neurons, pooled and network by network.

    Parameters
    ----------
    parameters : dict of str to array (units,)
        Values of each parameter; for synapses one value a synapse. Those that are not finite are left out.
    excitatory : bool array (units,), or dict of str to such arrays
        Sign of each unit; of the presynaptic one for synapses. A dict where parameters differ in length.
    network : array (units,), or dict of str to such arrays
        Which network a unit belongs to.

    Returns
    -------
    dict of str to SignComparison
        As in Li, Kim & Sejnowski (2020), figures 1 and 2, with the test over networks beside the pooled one.
    """
    found = {}
    for name, values in parameters.items():
        sign, label = (of[name] if isinstance(of, dict) else of for of in (excitatory, network))
        found[name] = _compare_sign(np.asarray(values, dtype=float), np.asarray(sign, dtype=bool), label)
    corrected = holm([p_signed_rank for *_, p_signed_rank, _ in found.values()])
    return {name: SignComparison(*entry, float(p)) for (name, entry), p in zip(found.items(), corrected)}


def network_means(values, network):
    """
    Average a value over the units of each network.

    Parameters
    ----------
    values : array (units,)
        Those that are not finite, such as timescales of units that were left out, do not count.
    network : array (units,)

    Returns
    -------
    labels : array (networks,)
    means : array (networks,)
        NaN for a network without a value.
    """
    values = np.asarray(values, dtype=float)
    labels, which = np.unique(network, return_inverse=True)
    if which.shape != values.shape:
        raise ValueError(f"there are {values.shape} values, but {which.shape} labels of networks")
    finite = np.isfinite(values)
    sums = np.bincount(which[finite], weights=values[finite], minlength=len(labels))
    counts = np.bincount(which[finite], minlength=len(labels))
    return labels, np.divide(sums, counts, out=np.full(len(labels), np.nan), where=counts > 0)


def _compare_sign(values, excitatory, network):
    labels, means_e = network_means(np.where(excitatory, values, np.nan), network)
    _, means_i = network_means(np.where(excitatory, np.nan, values), network)
    both = np.isfinite(means_e) & np.isfinite(means_i)
    p_signed_rank = p_t = np.nan
    if both.sum() > 1:
        p_signed_rank = float(wilcoxon(means_e[both], means_i[both]).pvalue)
        p_t = float(ttest_rel(means_e[both], means_i[both]).pvalue)
    pooled = compare_groups(values[excitatory], values[~excitatory])
    return pooled, np.stack([means_e, means_i], axis=1), labels, p_signed_rank, p_t
