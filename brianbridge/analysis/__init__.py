"""
Analyses of choices, spikes and parameters, for plain numpy arrays from any simulator or recording.

Each module answers one question and returns its numbers by name; none needs PyTorch or Brian2. Times are in
ms and rates in Hz. Figures of the results are in `brianbridge.analysis.figures`.
"""

from .aligned_averages import align, condition_averages
from .chronometric import Chronometric, accuracy_by_duration, fit_chronometric
from .clusters import Clusters, find_clusters
from .cross_temporal import (
    Discriminability,
    DiscriminabilityDifference,
    compare_discriminability,
    cross_temporal_discriminability,
    cue_averages,
)
from .group_comparison import GroupComparison, SignComparison, compare_groups, compare_signs, network_means
from .known_timescales import fit_known_timescales
from .modes import (
    ContextSwitch,
    ModeCoordinates,
    end_centroids,
    follow_context_switch,
    mode_importance,
    project_on_modes,
    split_input,
)
from .power_law import PiecewisePowerLaw, fit_power_law
from .principal import (
    PrincipalComponents,
    principal_angles,
    principal_components,
    temporal_components,
    variance_explained,
)
from .psychometric import CueCombination, PsychometricFit, compare_cues, fit_psychometric
from .selectivity import PreferenceClustering, cluster_by_preference, d_prime, sort_by_selectivity
from .statistics import (
    Equivalence,
    equivalence_of_means,
    equivalence_of_median,
    equivalence_of_paired_proportions,
    equivalence_of_proportions,
    holm,
    sign_test,
    wilson_interval,
)
from .targeted import TargetedAxes, targeted_axes
from .timescales import Timescales, fit_timescales, spike_count_autocorrelation
from .tuning import LinearTuning, fit_linear_tuning, tuning_similarity
from .variability import (
    FanoFactor,
    IntervalVariability,
    count_spike_times,
    count_spikes,
    fano_factor,
    firing_rates,
    interval_variability,
    smooth_rates,
)

__all__ = [
    "Timescales",
    "fit_timescales",
    "fit_known_timescales",
    "spike_count_autocorrelation",
    "Clusters",
    "find_clusters",
    "Discriminability",
    "cue_averages",
    "cross_temporal_discriminability",
    "DiscriminabilityDifference",
    "compare_discriminability",
    "GroupComparison",
    "compare_groups",
    "SignComparison",
    "compare_signs",
    "network_means",
    "wilson_interval",
    "holm",
    "Equivalence",
    "equivalence_of_means",
    "equivalence_of_median",
    "equivalence_of_paired_proportions",
    "equivalence_of_proportions",
    "sign_test",
    "PsychometricFit",
    "fit_psychometric",
    "CueCombination",
    "compare_cues",
    "Chronometric",
    "fit_chronometric",
    "accuracy_by_duration",
    "align",
    "condition_averages",
    "d_prime",
    "sort_by_selectivity",
    "PreferenceClustering",
    "cluster_by_preference",
    "TargetedAxes",
    "targeted_axes",
    "LinearTuning",
    "fit_linear_tuning",
    "tuning_similarity",
    "PrincipalComponents",
    "principal_components",
    "temporal_components",
    "principal_angles",
    "variance_explained",
    "ModeCoordinates",
    "project_on_modes",
    "split_input",
    "mode_importance",
    "ContextSwitch",
    "follow_context_switch",
    "end_centroids",
    "PiecewisePowerLaw",
    "fit_power_law",
    "count_spikes",
    "count_spike_times",
    "firing_rates",
    "smooth_rates",
    "FanoFactor",
    "fano_factor",
    "IntervalVariability",
    "interval_variability",
]
