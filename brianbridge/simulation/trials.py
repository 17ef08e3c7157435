"""`simulate`: trials of a trained network, on any device."""

import numpy as np
from brian2 import ms, second
from brian2.units.fundamentalunits import Quantity

from brianbridge import tasks
from brianbridge.model.naming import UnknownName, variable_name
from brianbridge.model.quantities import seconds_of
from brianbridge.simulation import runtime, standalone
from brianbridge.simulation.job import Job
from brianbridge.simulation.result import SimulatedTrials, collect
from brianbridge.tasks.trials import Trials

__all__ = ["DEVICES", "SimulatedTrials", "asked_trials", "fits", "simulate"]

DEVICES = ("runtime", "cpp_standalone", "cuda_standalone", "surrogate")


def simulate(
    trained,
    task=None,
    trials=100,
    *,
    device="runtime",
    dt=None,
    method=None,
    perturbation=None,
    record=(),
    noise=None,
    initial=None,
    seed=None,
    live=None,
    target=None,
    together=1,
    processes=None,
    progress=True,
):
    """Run trials of a task, and return what the network did.

    Parameters
    ----------
    trained : Trained
    task : Task, str or Trials, optional
        The task that draws the trials and judges the outputs; default is the one for which the network was
        trained. Or trials that were drawn already: ``bb.simulate(trained, trials)``.
    trials : int or Trials
        How many to draw, or the trials themselves.
    device : {'runtime', 'cpp_standalone', 'cuda_standalone', 'surrogate'}
        Brian2's runtime; Brian2's C++ standalone, compiled once and then run on every core; brian2cuda; or
        the surrogate (float64), in which networks are trained.
    dt : Quantity, optional
        Another time step than the one of training; inputs are held on their own.
    method : str or dict of str to str, optional
        Another integrator, for all groups with differential equations or for the groups named:
        ``'rk4'``, ``{'cells': 'heun'}``.
    perturbation : Perturbation or sequence of these, optional
        What is done to the network during an epoch, see `brianbridge.perturb`.
    record : sequence of str or VariableView
        Variables that are wanted in `SimulatedTrials.states`, such as ``'cells.v'``.
    noise : dict of str to ndarray, shape (steps, trials, n), optional
        Random numbers to replay, as in `Records.noise`, in place of fresh ones.
    initial : dict of str to ndarray, shape (trials, n), optional
        States at the beginning of each trial, SI, by ``'group.variable'``; the others start as the model
        says.
    seed : int, optional
        Draws the trials and seeds the noise: trial k has ``seed + k``. Devices draw different numbers from
        one seed.
    live : Live, optional
        Runtime: the network to run, into which the trained values were written; default is one built for
        this purpose.
    target : str, optional
        Runtime: Brian2's code generation target, ``'numpy'`` or ``'cython'``; default is the present one.
    together : int
        Runtime: trials that run side by side, as independent copies of the network in one: the same steps,
        many times faster where networks are small.
    processes : int, optional
        C++ standalone: trials that run at a time; default is one on each core.
    progress : bool
        Show a progress bar.

    Returns
    -------
    SimulatedTrials
        The same from every device.

    Raises
    ------
    ValueError
        If the trials do not fit the network, their time step is not a multiple of that of the simulation, a
        setting does not fit the device, or copies of the network cannot stand side by side.
    DeviceMissing
        If the device cannot be used here; the message says what to install.
    """
    settings = _settings(device, live=live, target=target, together=together, processes=processes)
    task, trials = asked_trials(trained, task, trials, seed)
    model = trained.model if dt is None else trained.model.with_dt(seconds_of(dt))
    model = model if method is None else model.with_method(method)
    perturbations = _listed(perturbation)
    _refuse_live(live, perturbations)
    for one in perturbations:
        trials = one.judged(task, one.shown(trials))
    inputs = _inputs(trained, trials)
    _check_dt(model.dt, trials.dt)
    for one in perturbations:
        model, inputs = one.applied(model, inputs, trials)
    job = Job(
        model=model.with_inputs({name: values[:, 0] for name, values in inputs.items()}),
        inputs=inputs,
        trials=len(trials),
        steps=int(trials.steps * trials.dt / model.dt + 0.5),
        record=tuple(dict.fromkeys([trained.output, *(_name(key, model) for key in record)])),
        noise=dict(noise or {}),
        initial={name: np.asarray(values) for name, values in (initial or {}).items()},
        seed=seed,
    )
    return collect(job, _run(device, job, settings, progress), trials, task, device)


def _run(device, job, settings, progress):
    if device == "runtime":
        return runtime.run(job, **settings, progress=progress)
    if device == "cpp_standalone":
        return standalone.run(job, **settings, progress=progress)
    if device == "cuda_standalone":
        from brianbridge.simulation import cuda  # which imports brian2cuda

        return cuda.run(job, progress=progress)
    from brianbridge.simulation import by_surrogate  # which imports torch

    return by_surrogate.run(job)


def _settings(device, **given):
    """The settings that were given, if they are for this device."""
    if device not in DEVICES:
        known = ", ".join(map(repr, DEVICES))
        raise ValueError(
            f"There is no device {device!r}; choose {known}. For numpy and cython: device='runtime', "
            "target='numpy'."
        )
    owners = {"live": "runtime", "target": "runtime", "together": "runtime", "processes": "cpp_standalone"}
    given = {
        name: value for name, value in given.items() if value is not None and (name, value) != ("together", 1)
    }
    for name in given:
        if owners[name] != device:
            raise ValueError(f"{name}= is for device={owners[name]!r}, not for {device!r}.")
    return given


def asked_trials(trained, task, trials, seed):
    """The task, if one is known, and the trials: what `simulate` makes of what it is given."""
    if isinstance(task, Trials):
        task, trials = None, task
    if isinstance(task, str):
        task = tasks.make(task)
    if task is None:
        task = _own_task(trained)
    if isinstance(trials, Trials):
        return task, trials
    if task is None:
        raise ValueError(
            f"The network was trained on {trained.task or 'a task without a name'!r}, which is none of the "
            "built-in tasks: hand it over, bb.simulate(trained, task, trials)."
        )
    return task, task.trials(np.random.default_rng(seed), trials, _trials_dt(trained))


def _own_task(trained):
    """The task for which the network was trained, if it is a built-in one."""
    try:
        return tasks.make(trained.task, **trained.arguments)
    except (tasks.UnknownTaskError, ModuleNotFoundError):
        return None


def _trials_dt(trained):
    """Time step of the trials: that of the timed inputs, on which their values are held."""
    steps = {trained.model.input(name).dt for name in trained.inputs} or {trained.model.dt}
    if len(steps) > 1:
        listed = ", ".join(f"{dt * 1e3:g} ms" for dt in sorted(steps))
        raise ValueError(f"The network's inputs have different time steps ({listed}): hand over the trials.")
    return Quantity(steps.pop(), dim=second.dim)


def fits(dt, step):
    """Whether whole numbers of time steps dt make a step of the trials, both in seconds."""
    ratio = step / dt
    return round(ratio) >= 1 and abs(ratio - round(ratio)) <= 1e-6 * ratio


def _check_dt(dt, step):
    """Outputs are judged at the end of every step of the trials: the simulation has to be there then."""
    if not fits(dt, step):
        raise ValueError(
            f"The trials have steps of {step / float(ms):g} ms, which cannot be divided into steps of a "
            f"simulation with dt={dt / float(ms):g}*ms: choose {step / float(ms):g} ms, half of it, a third, "
            "and so on, or draw the trials with another time step."
        )


def _inputs(trained, trials):
    """Name of every timed input to its values in all trials."""
    inputs = {}
    for name, source in trained.inputs.items():
        timed = trained.model.input(name)
        if source not in trials.inputs:
            raise ValueError(
                f"The network takes the task's input {source!r}, but the trials have "
                f"{', '.join(trials.inputs) or 'none'}."
            )
        if abs(timed.dt - trials.dt) > 1e-6 * trials.dt:
            raise ValueError(
                f"The trials have a time step of {trials.dt / float(ms):g} ms, but the network's input "
                f"{name!r} one of {timed.dt / float(ms):g} ms: draw them with dt={timed.dt / float(ms):g}*ms."
            )
        values = trials.inputs[source]
        values = values[:, :, 0] if timed.values.ndim == 1 and values.shape[2] == 1 else values
        if values.shape[2:] != timed.values.shape[1:]:
            raise ValueError(
                f"The input {source!r} of the trials has {trials.inputs[source].shape[2]} channels, but that "
                f"of the network, {name!r}, has {', '.join(map(str, timed.values.shape[1:])) or 'one value'}."
            )
        inputs[name] = values
    return inputs


def _name(key, model):
    group, variable = variable_name(key, model)
    if variable in getattr(model[group], "events", {}):
        raise UnknownName(
            f"{group} is a group: its spikes are recorded anyway. Name a variable, '{group}.v'."
        )
    return f"{group}.{variable}"


def _listed(perturbation):
    if perturbation is None:
        return []
    return list(perturbation) if isinstance(perturbation, list | tuple) else [perturbation]


def _refuse_live(live, perturbations):
    if live is not None and perturbations:
        raise ValueError(
            "A perturbation is built into the network, so it cannot be done to one that is given as live=: "
            "leave live= out."
        )
