"""Trials as a `neo.Block`."""

import re

import numpy as np

__all__ = ["to_neo"]


def to_neo(simulated):
    """See `SimulatedTrials.to_neo`."""
    import neo  # half a second, for those who export

    block = neo.Block(name="trials", device=simulated.device)
    decisions = simulated.decisions.values if simulated.task is not None else None
    for trial in range(len(simulated.trials)):
        conditions = {name: values[trial].item() for name, values in simulated.trials.conditions.items()}
        segment = neo.Segment(name=f"trial {trial}", index=trial, **conditions)
        if decisions is not None:
            segment.annotate(decision=str(decisions[trial]))
        segment.spiketrains = list(_trains(neo, simulated, trial))
        segment.analogsignals = list(_signals(neo, simulated, trial))
        segment.epochs.append(_epochs(neo, simulated.trials, trial))
        block.segments.append(segment)
    block.check_relationships()
    return block


def _trains(neo, simulated, trial):
    stop = simulated.steps * simulated.dt
    for group, spikes in simulated.spikes.items():
        here = spikes.isel(spike=spikes.trial.values == trial)
        for neuron in range(simulated.sizes[group]):
            times = np.sort(here.time.values[here.neuron.values == neuron])
            yield neo.SpikeTrain(
                times, units="s", t_stop=stop, name=f"{group} {neuron}", group=group, neuron=neuron
            )


def _signals(neo, simulated, trial):
    signals = {"output": simulated.outputs, **simulated.states}
    for name, values in signals.items():
        step = simulated.trials.dt if name == "output" else simulated.dt
        yield neo.AnalogSignal(
            values.isel(trial=trial).values,
            units=_unit(values.attrs["units"]),
            sampling_period=step * _unit("s"),
            name=name,
            variable=values.name,
        )


def _epochs(neo, trials, trial):
    spans = {name: epoch[trial] * trials.dt for name, epoch in trials.epochs.items()}
    starts = np.array([start for start, _ in spans.values()])
    durations = np.array([stop - start for start, stop in spans.values()])
    return neo.Epoch(starts, durations, labels=np.array(list(spans), dtype="U"), units="s", name="epochs")


def _unit(text):
    """Brian2's text of a unit, such as ``'V'`` or ``'m^-2 A'``, as neo reads it."""
    import quantities

    if text == "1":
        return quantities.dimensionless
    text = re.sub(r"\s*/\s*", "/", text).replace("^", "**")
    return quantities.Quantity(1, re.sub(r"\s+", "*", text)).units
