"""Rung 9: what the network can do without."""

from dataclasses import replace

import numpy as np

from brianbridge import perturb
from brianbridge.checks.equivalence import equivalence_finding
from brianbridge.checks.finding import NotApplicable, Table
from brianbridge.checks.recurrence import recurrent_projections
from brianbridge.model.equation_text import variable_dimensions
from brianbridge.simulation.divergence import decisions_of
from brianbridge.simulation.result import OUTCOMES

__all__ = ["measure"]

SHARE = 0.1


def measure(context):
    """The same trials with the same noise, without and with the weakest recurrent weights.

    Of each projection a tenth goes, since their weights need not have the same unit.
    """
    recurrent = recurrent_projections(context.model, context.trained.output)
    weighted = [group for group in recurrent if "w" in variable_dimensions(group.equations)]
    pruned_ones = [group.name for group in weighted if round(SHARE * group.n)]
    if not pruned_ones:
        raise NotApplicable("no recurrent synapses, or fewer than six, have a weight called w")
    left = [group.name for group in recurrent if group.name not in pruned_ones]
    whole = context.simulated()
    pruned = context.run(
        context.model,
        context.trials,
        seed=context.seed,
        perturbation=[perturb.prune(name, SHARE) for name in pruned_ones],
    )
    intact, correct = context.correct(whole.outputs), context.correct(pruned.outputs)
    outcomes = [_outcomes("intact", whole), _outcomes("pruned", pruned)]
    found = equivalence_finding(
        correct,
        intact,
        context.margins["perturbation"],
        f"{correct.mean():.0%} instead of {intact.mean():.0%} correct",
        left=[f"not pruned, without enough weights called w: {', '.join(left)}"] if left else (),
        lost={"when pruned": pruned.outputs, "intact": whole.outputs},
        synapses=pruned_ones,
        share=SHARE,
        intact=float(intact.mean()),
        pruned=float(correct.mean()),
        outcomes=outcomes,
    )
    said = f"Shares of n = {len(correct)} trials, the same for both networks, with the same noise."
    return replace(found, tables=[Table.of_rows("Decisions without the weakest weights", outcomes, said)])


def _outcomes(name, simulated):
    decisions = decisions_of(simulated)
    return {"network": name} | {outcome: float(np.mean(decisions == outcome)) for outcome in OUTCOMES}
