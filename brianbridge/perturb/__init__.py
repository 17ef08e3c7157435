"""
Perturbations: what is done to which neurons or synapses, in which epoch, and what the network answers then.

An action (`clamp`, `inject`, `scale`, `silence`, `prune`, `lesion`, `noise`, `shuffle`, `switch_context`) on
a selection (`above_median`, `excitatory`, ...) is handed to ``bb.simulate(perturbation=...)``, or several to
`outcomes`, which simulates them and counts correct, incorrect and missing responses.
"""

from brianbridge.perturb.actions import (
    clamp,
    inject,
    lesion,
    noise,
    prune,
    scale,
    shuffle,
    silence,
)
from brianbridge.perturb.context import switch_context
from brianbridge.perturb.counting import Outcomes, outcomes
from brianbridge.perturb.perturbation import Perturbation
from brianbridge.perturb.published import li2020_figure4
from brianbridge.perturb.selection import (
    Selection,
    above_median,
    above_quantile,
    below_median,
    below_quantile,
    everything,
    excitatory,
    from_neurons,
    indices,
    inhibitory,
    onto_neurons,
    selectivity,
    smallest,
)

__all__ = [
    "Perturbation",
    "clamp",
    "inject",
    "scale",
    "silence",
    "prune",
    "lesion",
    "noise",
    "shuffle",
    "switch_context",
    "Selection",
    "above_median",
    "above_quantile",
    "below_median",
    "below_quantile",
    "smallest",
    "selectivity",
    "excitatory",
    "inhibitory",
    "indices",
    "from_neurons",
    "onto_neurons",
    "everything",
    "Outcomes",
    "outcomes",
    "li2020_figure4",
]
