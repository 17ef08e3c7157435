"""What lost trials, in which the output is not finite any more, make of a verdict."""

__all__ = ["with_lost_trials"]


def with_lost_trials(ending, lost, trials, margin):
    """A verdict that lost trials turn into a failure, and what there is to say of them.

    Two runs that lose the same trials have the same performance: it takes more than the comparison to fail.

    Parameters
    ----------
    ending : str
        The verdict without them.
    lost : dict of str to int
        How many trials are lost, by where.
    trials : int
    margin : float
        The share of the trials that may be lost.

    Returns
    -------
    ending : str
    said : list of str
    """
    said = [f"{count} of {trials} trials diverged {where}" for where, count in lost.items() if count]
    return ("fail" if max(lost.values()) > margin * trials else ending), said
