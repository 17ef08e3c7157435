"""Rung 2: does it matter that the network was trained in single precision?"""

from brianbridge.analysis import equivalence_of_paired_proportions
from brianbridge.checks.equivalence import detectable, equivalence_verdict, in_points
from brianbridge.checks.finding import Finding
from brianbridge.checks.lost_trials import with_lost_trials
from brianbridge.simulation.divergence import diverged

__all__ = ["measure"]

PRECISIONS = ("float32", "float64")


def measure(context):
    """The same trials and noise in float32 and in float64: first divergent spike, and performance."""
    side = context.surrogate_side()
    outputs, first, dt = side.both_precisions(context.trained, context.model, context.trials, context.seed)
    single, double = (context.correct(output) for output in outputs)
    margin = context.margins["precision"]
    seen = equivalence_of_paired_proportions(single, double, margin)
    apart = first[first >= 0]
    ending, reason = equivalence_verdict(seen)
    lost = {f"in {name}": int(diverged(output).sum()) for name, output in zip(PRECISIONS, outputs)}
    ending, said = with_lost_trials(ending, lost, len(first), margin)
    earliest = f", the first after {apart.min() * dt * 1e3:.4g} ms" if len(apart) else ""
    return Finding(
        ending,
        value=f"{in_points(seen)} of accuracy; spikes diverge in {len(apart)} of {len(first)} trials"
        + earliest,
        reason="; ".join(filter(None, [reason, *said])),
        detects=detectable(margin, seen),
        data={
            "trials": len(first),
            "diverged trials": list(lost.values()),
            "accuracy in float32": float(single.mean()),
            "accuracy in float64": float(double.mean()),
            "difference": seen.difference,
            "90 % interval": list(seen.interval),
            "P (not equivalent)": seen.p_value,
            "first differing step of each trial (-1: none)": first,
        },
    )
