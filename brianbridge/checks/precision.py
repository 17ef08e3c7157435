"""Rung 2: does it matter that the network was trained in single precision?"""

from brianbridge.analysis import equivalence_of_paired_proportions
from brianbridge.checks.equivalence import detectable, equivalence_verdict, in_points
from brianbridge.checks.finding import Finding

__all__ = ["measure"]


def measure(context):
    """The same trials and noise in float32 and in float64: first divergent spike, and performance."""
    side = context.surrogate_side()
    outputs, first, dt = side.both_precisions(context.trained, context.model, context.trials, context.seed)
    single, double = (context.correct(output) for output in outputs)
    seen = equivalence_of_paired_proportions(single, double, context.margins["precision"])
    diverged = first[first >= 0]
    ending, reason = equivalence_verdict(seen)
    earliest = f", the first after {diverged.min() * dt * 1e3:.4g} ms" if len(diverged) else ""
    return Finding(
        ending,
        value=f"{in_points(seen)} of accuracy; spikes diverge in {len(diverged)} of {len(first)} trials"
        + earliest,
        reason=reason,
        detects=detectable(context.margins["precision"], seen),
        data={
            "trials": len(first),
            "accuracy in float32": float(single.mean()),
            "accuracy in float64": float(double.mean()),
            "difference": seen.difference,
            "90 % interval": list(seen.interval),
            "P (not equivalent)": seen.p_value,
            "first differing step of each trial (-1: none)": first,
        },
    )
