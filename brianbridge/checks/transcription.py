"""Rung 1: the surrogate takes Brian2's steps, spike for spike."""

from brianbridge.checks.finding import Finding, Table, verdict
from brianbridge.comparison.agreement import Comparison

__all__ = ["measure"]

NONE = [{"object": "none"}]  # rows of a table


def measure(context):
    """Surrogate in float64 and Brian2 at the training's time step, with frozen noise and inputs.

    Every spike and every state variable is compared at the end of every step.
    """
    side = context.surrogate_side()
    margin = context.margins["transcription"]
    trials = side.transcribed(context.trained, context.model, context.few, context.seed)
    total = Comparison()
    for trial in trials:
        total.add(trial)
    events, states = _events(total), _states(total)
    differing = sum(event["differing bins"] for event in events)
    worst = max((state["of its range"] for state in states), default=0.0)
    spikes = total.spikes
    caption = (
        f"n = {len(trials)} trials, every step; float64, Brian2's numpy target, the same random numbers."
    )
    reason = "" if spikes else "no neuron spiked in these trials: this says little about synapses"
    return Finding(
        verdict(differing == 0 and worst <= margin),
        value=f"{differing} differing spike bins among {spikes} spikes; "
        f"largest difference of a state {worst:.2g} of its range",
        reason=reason,
        data={"trials": len(trials), "steps": total.steps, "events": events, "states": states},
        tables=[
            Table.of_rows("Spikes in the surrogate and in Brian2", events or NONE, caption),
            Table.of_rows("States in the surrogate and in Brian2", states or NONE, caption),
        ],
    )


def _events(comparison):
    return [
        {
            "object": name,
            "event": event,
            "in Brian2": seen.brian2,
            "in the surrogate": seen.surrogate,
            "differing bins": seen.differing,
            "first differing step": seen.first,
        }
        for name, obj in comparison.objects.items()
        for event, seen in obj.events.items()
    ]


def _states(comparison):
    return [
        {
            "variable": f"{name}.{variable}",
            "largest difference": state.difference,
            "unit": state.unit,
            "of its range": state.relative,
        }
        for name, obj in comparison.objects.items()
        for variable, state in obj.states.items()
    ]
