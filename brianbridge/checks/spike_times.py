"""Rung 4: spike times of driven neurons are off by some time steps, however short the step."""

from dataclasses import replace

import numpy as np

from brianbridge.checks.driven import driven_neurons, held_noise, spiking_neurons
from brianbridge.checks.finding import Finding, NotApplicable, Table, verdict
from brianbridge.checks.step_dependence import step_dependence
from brianbridge.report import CaptionedFigure
from brianbridge.report.figures import errors_by_dt

__all__ = ["first_two_spikes", "measure", "plot", "timing_errors"]

REFINEMENT = 8  # of the finest step, for the reference
SPAN = 4  # the finest step is at most this part of the training's: an error that stays must show
FEWEST = 10  # neurons of all trials with a spike; for intervals, with two

MOST_STEPS = 10  # that the coarsest step may be off by: neurons of Hodgkin and Huxley have 7

COUNTED = ("first spikes", "first intervals")


def measure(context):
    """Time steps by which first spikes and first intervals differ from those at a fine step.

    A step finds a spike, resets and rests on its grid, so that each interval is off by a part of a step, and
    later spikes by what the intervals before them have gathered. The reference are the neurons of the
    trained network at an eighth of the finest step, with the same inputs, noise and initial states.
    """
    model = context.trained.model
    if not spiking_neurons(model):
        raise NotApplicable("no group of neurons is integrated up to a threshold")
    dependent = step_dependence(model)
    if dependent:
        raise NotApplicable(f"{dependent}: another time step is another model")
    dts = _steps(context)
    _, held = driven_neurons(model, context.trials.dt)
    noise = held_noise(held, context.few, context.seed)
    reference = _first_two(context, model, noise, dts[-1] / REFINEMENT)
    rows = [_row(context, dt, _first_two(context, context.model, noise, dt), reference) for dt in dts]
    counted = [name for name in COUNTED if rows[0][name] >= FEWEST]
    if not counted:
        raise NotApplicable(f"without their synapses only {rows[0]['first spikes']} neurons spike")
    margin = context.margins["spike_times"]
    bounds = {name: margin * float(np.clip(rows[0][_median(name)], 1, MOST_STEPS)) for name in counted}
    errors = {name: np.array([row[_median(name)] for row in rows], dtype=float) for name in counted}
    passed = all(np.all(errors[name] <= bound) for name, bound in bounds.items())  # no spike (NaN): no
    return Finding(
        verdict(passed),
        value="; ".join(
            f"{name} off by {', '.join(f'{error:.2g}' for error in errors[name])} time steps"
            for name in counted
        )
        + f" at {', '.join(f'{dt * 1e3:g}' for dt in dts)} ms",
        reason="" if len(counted) == len(COUNTED) else "too few neurons spike twice to judge intervals",
        detects=f"{max(bounds.values()) * dts[-1] * 1e3:.2g} ms that do not shrink with the step, in half of "
        "the first spikes or intervals",
        data={"trials": len(context.few), "counted": counted, "bounds (steps)": bounds, "steps": rows},
        tables=[
            Table.of_rows(
                "Spike times of driven neurons",
                rows,
                f"n = {len(context.few)} trials, neurons without their synapses, noise held like the inputs. "
                f"Reference: {dts[-1] * 1e3 / REFINEMENT:g} ms. What one side only has is off by a trial.",
            )
        ],
    )


def _steps(context):
    """From the training's down."""
    dts = [context.training_dt, *context.finer]
    finest = context.training_dt / SPAN
    return dts if dts[-1] <= 1.001 * finest else [*dts, finest]


def _median(name):
    return f"{name}: median error (steps)"


def _row(context, dt, times, reference):
    row = {"dt (ms)": dt * 1e3}
    errors = timing_errors(times, reference, missing=float(context.few.duration))
    for name, error in zip(COUNTED, errors):
        row[name] = len(error)
        row[_median(name)] = float(np.median(error) / dt) if len(error) else None
        row[f"{name}: 90 % below (steps)"] = float(np.quantile(error, 0.9) / dt) if len(error) else None
    return row


def _first_two(context, model, noise, dt):
    """First two spikes of every driven neuron in every trial."""
    neurons, _ = driven_neurons(model, context.trials.dt)
    trials = replace(context.few, inputs={**context.few.inputs, **noise})
    simulated = context.run(neurons, trials, dt, more_inputs=tuple(noise), seed=context.seed)
    groups = spiking_neurons(context.trained.model)
    return np.concatenate([first_two_spikes(simulated, group) for group in groups])


def first_two_spikes(simulated, group):
    """When every neuron spikes in every trial for the first and the second time.

    Returns
    -------
    ndarray, shape (trials*neurons, 2)
        Seconds; NaN for spikes that are missing.
    """
    trains = simulated.spike_trains(group)[:, :2]
    return np.pad(trains, ((0, 0), (0, 2 - trains.shape[1])), constant_values=np.nan)


def timing_errors(times, reference, missing):
    """Differences of first spikes and of first intervals, in the unit of the times.

    Parameters
    ----------
    times, reference : ndarray, shape (neurons, 2)
        First two spikes of the same neurons; NaN for spikes that are missing.
    missing : float
        The difference where one side only has the spike.

    Returns
    -------
    first, interval : ndarray
        One entry for each neuron that has the spike, or both, on one side at least.
    """
    found = []
    for seen, wanted in ((times[:, 0], reference[:, 0]), (np.diff(times)[:, 0], np.diff(reference)[:, 0])):
        either = ~(np.isnan(seen) & np.isnan(wanted))
        difference = np.abs(seen - wanted)[either]
        found.append(np.where(np.isnan(difference), missing, difference))
    return tuple(found)


def plot(finding):
    """Median errors against the time step."""
    rows = finding.data.get("steps")
    if not rows:
        return []
    counted = finding.data["counted"]
    dt = [row["dt (ms)"] for row in rows]
    figure = errors_by_dt(
        dict.fromkeys(counted, dt),
        {name: np.array([row[_median(name)] for row in rows], dtype=float) * dt for name in counted},
        dict.fromkeys(counted, 1),
        label="median error (ms)",
    )
    return [
        CaptionedFigure(
            figure,
            "Median error of the first spikes, and of the first intervals, of driven neurons in "
            f"n = {finding.data['trials']} trials, against a fine reference; dashed: in proportion to the "
            "time step.",
            "Errors of spike times against the time step on logarithmic axes",
            "Spike times",
        )
    ]
