"""
Analyses of choices, spikes and parameters, for plain numpy arrays from any simulator or recording.

Each module answers one question and returns its numbers by name; none needs PyTorch or Brian2. Times are in
ms and rates in Hz. Figures of the results are in `brianbridge.analysis.figures`.
"""

from .group_comparison import GroupComparison, SignComparison, compare_groups, compare_signs, network_means
from .psychometric import CueCombination, PsychometricFit, compare_cues, fit_psychometric
from .statistics import Equivalence, equivalence_of_means, equivalence_of_proportions, holm, wilson_interval
from .timescales import Timescales, fit_timescales, spike_count_autocorrelation

__all__ = [
    "Timescales",
    "fit_timescales",
    "spike_count_autocorrelation",
    "GroupComparison",
    "compare_groups",
    "SignComparison",
    "compare_signs",
    "network_means",
    "wilson_interval",
    "holm",
    "Equivalence",
    "equivalence_of_means",
    "equivalence_of_proportions",
    "PsychometricFit",
    "fit_psychometric",
    "CueCombination",
    "compare_cues",
]
