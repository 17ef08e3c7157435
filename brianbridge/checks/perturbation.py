"""Rung 9: what the network can do without."""

from brianbridge import perturb
from brianbridge.analysis import equivalence_of_paired_proportions
from brianbridge.checks.finding import Finding, NotApplicable
from brianbridge.checks.performance import equivalence_verdict, in_points
from brianbridge.model.equation_text import variable_dimensions

__all__ = ["measure"]

SHARE = 0.1


def measure(context):
    """The same trials with the same noise, without and with the weakest recurrent weights."""
    projection = next((g for g in context.model.groups if _is_recurrent(g)), None)
    if projection is None:
        raise NotApplicable("no recurrent synapses have a weight called w")
    intact = context.correct(context.simulated().outputs)
    pruned = context.run(
        context.model,
        context.trials,
        random_seed=context.seed,
        perturbation=perturb.prune(projection.name, SHARE),
    )
    correct = context.correct(pruned.outputs)
    seen = equivalence_of_paired_proportions(correct, intact, context.margins["perturbation"])
    ending, reason = equivalence_verdict(seen)
    half = 50 * (seen.interval[1] - seen.interval[0])
    return Finding(
        ending,
        value=f"{correct.mean():.0%} instead of {intact.mean():.0%} correct: {in_points(seen)}",
        reason=reason,
        detects=f"a change of {half:.2g} points",
        data={
            "trials": len(intact),
            "synapses": projection.name,
            "share": SHARE,
            "intact": float(intact.mean()),
            "pruned": float(correct.mean()),
            "90 % interval": list(seen.interval),
            "P (not equivalent)": seen.p_value,
        },
    )


def _is_recurrent(group):
    recurrent = hasattr(group, "i") and group.source[0] == group.target[0]
    return recurrent and "w" in variable_dimensions(group.equations)
