"""Rung 9: what the network can do without."""

from brianbridge import perturb
from brianbridge.checks.finding import NotApplicable
from brianbridge.checks.performance import equivalence_finding
from brianbridge.model.equation_text import variable_dimensions

__all__ = ["measure"]

SHARE = 0.1


def measure(context):
    """The same trials with the same noise, without and with the weakest recurrent weights."""
    projection = next((g for g in context.model.groups if _is_recurrent(g)), None)
    if projection is None:
        raise NotApplicable("no recurrent synapses have a weight called w")
    whole = context.simulated()
    pruned = context.run(
        context.model,
        context.trials,
        random_seed=context.seed,
        perturbation=perturb.prune(projection.name, SHARE),
    )
    intact, correct = context.correct(whole.outputs), context.correct(pruned.outputs)
    return equivalence_finding(
        correct,
        intact,
        context.margins["perturbation"],
        f"{correct.mean():.0%} instead of {intact.mean():.0%} correct",
        lost={"when pruned": pruned.outputs, "intact": whole.outputs},
        synapses=projection.name,
        share=SHARE,
        intact=float(intact.mean()),
        pruned=float(correct.mean()),
    )


def _is_recurrent(group):
    recurrent = hasattr(group, "i") and group.source[0] == group.target[0]
    return recurrent and "w" in variable_dimensions(group.equations)
