"""What a trained network does: the same trials twice, and fresh trials in the surrogate and in Brian2."""

import numpy as np
import torch
from brian2 import second
from choices import psychometric_trials, signed_choices
from study import model_of, task_of

import brianbridge as bb
from brianbridge.analysis import wilson_interval
from brianbridge.comparison.same_trials import same_trials
from brianbridge.model.quantities import read_quantity

LARGEST_DIFFERENCE = 1e-9  # of outputs and rates, which are of order 1
TOGETHER = 100  # trials that are simulated at a time


def agreement(point, trained):
    """Write the parameters into a live, untrained network, and take the same trials there.

    Returns
    -------
    dict
        With ``'identical'``: every parameter has the bits of the trained one, no spike bin differs, and
        output and states differ by at most `LARGEST_DIFFERENCE`.
    """
    trials = _trials(point, 1000, point.brian2.same_trials)
    untrained = model_of(point)
    live = untrained.with_inputs({"stimulus": trials.inputs["stimulus"][:, 0]}).live()
    trained.write_to(live.network)
    same = same_trials(
        trained, trials, live=live, record=[point.state] if point.state else [], seed=point.seed
    )
    difference = max([same.output_differences.max(), *same.state_differences.values()])
    found = {
        "trials": len(trials),
        "dt_ms": _ms(trained.model.dt),
        "spikes": sum(int(spikes.sum()) for spikes in same.spikes.values()),
        "differing_bins": int(same.differing_bins.sum()),
        "largest_difference": float(difference),
        "parameters_read_back": _read_back(trained, live),
    }
    if point.state:
        found[f"mean {point.state}"] = float(same.states[point.state].mean())
    identical = found["differing_bins"] == 0 and difference <= LARGEST_DIFFERENCE
    return {"identical": bool(identical and found["parameters_read_back"]), **found}


def _read_back(trained, live):
    def written(name):
        group, variable = name.split(".")
        return np.asarray(live[group].variables[variable].get_value())

    return all(np.array_equal(np.asarray(value), written(name)) for name, value in trained.values.items())


def accuracies(point, trained):
    """Fresh trials in the surrogate and in Brian2, at the time step of training and at the finer one.

    Returns
    -------
    rows : list of dict
    choices : tuple of ndarray or None
        Signed coherence and choice of every trial at the finer step, where a psychometric curve is wanted.
    """
    task, trials = task_of(point), _trials(point, 2000, point.brian2.trials)
    rows = [_row("surrogate", trained.model.dt, task.score(_surrogate_output(trained, trials), trials))]
    coarse = bb.simulate(trained, trials, seed=point.seed, together=TOGETHER)
    rows.append(_brian2_row(task, trials, coarse))
    asked = None
    if point.psychometric:
        task, trials, asked = psychometric_trials(point)
    dt = read_quantity(point.brian2.dt)
    fine = bb.simulate(trained, trials, dt=dt, seed=point.seed + 1, together=TOGETHER)
    rows.append(_brian2_row(task, trials, fine, asked))
    return rows, signed_choices(task, trials, fine.outputs.values) if point.psychometric else None


def _trials(point, seed, number):
    """Fresh trials of the test, on the time step of the network's input."""
    step = model_of(point).input("stimulus").dt * second
    return task_of(point).trials(point.seed + seed, number, step)


@torch.no_grad()
def _surrogate_output(trained, trials):
    surrogate = bb.Surrogate(trained.model, dtype=torch.float64)
    parts = [
        surrogate(
            {
                name: trials[first : first + TOGETHER].inputs[source]
                for name, source in trained.inputs.items()
            },
            record=[trained.output],
            seed=first,
        )[trained.output].numpy()
        for first in range(0, len(trials), TOGETHER)
    ]
    return trials.at_steps(np.concatenate(parts, axis=1), trained.model.dt)


def _brian2_row(task, trials, simulated, asked=None):
    """Accuracy of all trials, or of those that are `asked` for, and the mean rate of the neurons."""
    correct = task.score(simulated.outputs.values, trials)
    rates = [simulated.rates(group).mean() for group in simulated.spikes]
    rate = float(np.mean(rates)) if rates else None
    return _row("Brian2", simulated.dt, correct if asked is None else correct[asked]) | {"rate_hz": rate}


def _row(where, dt, correct):
    low, high = wilson_interval(correct.sum(), len(correct))
    return {
        "where": where,
        "dt_ms": _ms(dt),
        "trials": len(correct),
        "accuracy": float(correct.mean()),
        "interval": [float(low), float(high)],
    }


def _ms(dt):
    return round(dt * 1e3, 9)
