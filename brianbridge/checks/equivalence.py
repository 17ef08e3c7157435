"""Whether as many of the same trials are correct in two runs: paired tests of equivalence, in words."""

from brianbridge.analysis import equivalence_of_paired_proportions
from brianbridge.checks.finding import Finding
from brianbridge.checks.lost_trials import with_lost_trials
from brianbridge.simulation.divergence import diverged

__all__ = ["detectable", "equivalence_finding", "equivalence_verdict", "in_points", "why_not_equivalent"]


def equivalence_verdict(seen, p_value=None, level=0.05):
    """Verdict and reason of a test of equivalence: a gap, and too few trials to tell, are not the same."""
    p_value = seen.p_value if p_value is None else p_value
    if p_value < level:
        return "pass", ""
    low, high = (100 * end for end in seen.interval)
    interval = f"the 90 % interval of the difference is {low:+.1f} to {high:+.1f} points"
    return "fail", why_not_equivalent(seen, f"it differs: {interval}", interval)


def why_not_equivalent(seen, differs, interval):
    """What to say of a test that has not shown equivalence: that it differs, or where the interval lies."""
    low, high = seen.interval
    if low > seen.margin or high < -seen.margin:
        return differs
    return f"not shown with these trials: {interval}; more trials would tell"


def in_points(seen):
    """A difference of proportions in words."""
    return f"{100 * seen.difference:+.1f} points"


def detectable(margin, *tests):
    """What tests of equivalence detect: the margin, by their level; and how well they know the difference."""
    half = max(high - low for low, high in (test.interval for test in tests)) / 2
    return (
        f"a change of {100 * margin:g} points, missed in 5 % at most; differences are known to "
        f"±{100 * half:.2g} points"
    )


def equivalence_finding(correct, reference, margin, said, left=(), lost=(), **data):
    """Whether as many of the same trials are correct as in a reference.

    Parameters
    ----------
    correct, reference : bool array (trials,)
    margin : float
    said : str
        The value of the finding, without the difference.
    left : sequence of str
        What else the reason says.
    lost : dict of str to array (time, trial, output)
        Outputs, by where they come from: diverged trials are counted, and more than the margin fail.
    **data
        For the JSON.

    Returns
    -------
    Finding
    """
    seen = equivalence_of_paired_proportions(correct, reference, margin)
    ending, reason = equivalence_verdict(seen)
    counts = {where: int(diverged(output).sum()) for where, output in dict(lost).items()}
    if counts:
        ending, diverging = with_lost_trials(ending, counts, len(correct), margin)
        left, data = [*diverging, *left], {**data, "diverged trials": list(counts.values())}
    tested = {"90 % interval": list(seen.interval), "P (not equivalent)": seen.p_value}
    return Finding(
        ending,
        value=f"{said}: {in_points(seen)}",
        reason="; ".join(filter(None, [reason, *left])),
        detects=detectable(margin, seen),
        data={"trials": len(correct), **data, **tested},
    )
