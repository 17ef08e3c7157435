"""The network trained on for some updates at a finer time step, and what it can do there before and after."""

from brianbridge.analysis import wilson_interval
from brianbridge.checks.finding import NotRun, Table

__all__ = ["fine_tuning", "table_of"]


def fine_tuning(context, dt):
    """Train the network under examination on at another time step.

    Parameters
    ----------
    context : Context
    dt : float
        In seconds.

    Returns
    -------
    model : Model or None
        None where it was not run.
    data : dict
        Accuracy on the fresh trials of the trained network at both time steps, and of the fine-tuned one; or
        the reason why it was not run.
    """
    updates = context.fine_tune
    if not updates:
        return None, {"updates": 0, "reason": "not asked for (fine_tune=UPDATES)"}
    try:
        model = context.surrogate_side().fine_tuned(
            context.trained, context.model, context.task, dt, updates, context.seed
        )
    except NotRun as why:
        return None, {"updates": 0, "reason": str(why)}
    rows = [
        _row(context, "trained", context.simulated()),
        _row(context, "trained", context.simulated(dt)),
        _row(context, "fine-tuned", context.simulated(dt, model)),
    ]
    return model, {"updates": updates, "networks": rows}


def table_of(data):
    """The accuracies as a table; none where fine-tuning was not run."""
    if "networks" not in data:
        return []
    return [
        Table.of_rows(
            "Fine-tuning at the finest time step",
            data["networks"],
            f"{data['updates']} updates as in the training, with a tenth of its learning rates. The same "
            "fresh trials, in Brian2; Wilson's intervals.",
        )
    ]


def _row(context, network, simulated):
    correct = context.correct(simulated.outputs)
    low, high = wilson_interval(correct.sum(), len(correct))
    return {
        "network": network,
        "dt (ms)": simulated.dt * 1e3,
        "accuracy": float(correct.mean()),
        "95 % from": float(low),
        "95 % to": float(high),
    }
