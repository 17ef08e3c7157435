"""Run a live network and its surrogate side by side and compare them at the end of every step."""

import warnings
from contextlib import contextmanager

import numpy as np
import torch
from brian2 import Clock, Network, NetworkOperation, NeuronGroup, Synapses, second
from brian2.core.base import BrianObjectException
from brian2.core.magic import MagicNetwork
from brian2.core.variables import ArrayVariable
from brian2.units.fundamentalunits import Quantity

from brianbridge.bridge import captured
from brianbridge.codegen_target import codegen_target
from brianbridge.comparison.agreement import Comparison, RunAgreement
from brianbridge.comparison.places import in_words
from brianbridge.comparison.watching import Watch
from brianbridge.generation.frozen_noise import freeze_noise, thaw_noise
from brianbridge.generation.ties import ties_of
from brianbridge.model.members import kind
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.surrogate.module import Surrogate

__all__ = ["Brian2Failed", "compare", "compare_with"]

run = Network.run  # itself, also where a script's runs are taken over


class Brian2Failed(Exception):
    """Brian2 itself does not run the network; quotes what it says.

    Attributes
    ----------
    error : Exception
        As Brian2 raised it.
    """

    def __init__(self, error):
        super().__init__(in_words(error))
        self.error = error


def compare(network, namespace, steps, *, duration=None, seconds=None, lockstep=False, seed=1, **reported):
    """Run a live network and its surrogate over the same steps and compare them at the end of each.

    The network runs on Brian2's numpy target with random numbers that the surrogate has drawn; the surrogate
    is the exact one in float64. Nothing is recorded, so that memory does not grow with the number of steps,
    except by the random numbers. The network has really run afterwards: its monitors have recorded, and
    another run goes on from there.

    Parameters
    ----------
    network : brian2.Network
        The magic network if it holds its objects, as within its own ``run``.
    namespace : Mapping
        The names that the equations refer to, as in ``network.run(namespace=...)``.
    steps : int
        Steps of the network's shortest clock, at most.
    duration : Quantity, optional
        Of the whole run, if it is shorter. By default the run has this number of steps.
    seconds : float, optional
        Stop after so much of the user's time.
    lockstep : bool
        Restart the surrogate from Brian2's state at every step: in a chaotic network, where a difference in
        the last bit grows to a different spike, every single step can still be compared.
    seed : int
        Of the random numbers.
    **reported
        ``report``, ``report_period`` and ``profile`` of Brian2's run.

    Returns
    -------
    Comparison

    Raises
    ------
    Refused
        Listing what cannot be bridged.
    Brian2Failed
        If Brian2 itself does not run the network.
    """
    with codegen_target("numpy"), _undisturbed():
        part = _taking_part(network)
        if not part.objects:
            return _nothing_to_compare(network, duration, namespace, lockstep)
        surrogate = _surrogate(network, part, namespace)
        clock = _clock(part, surrogate.program.dt)
        asked = steps if duration is None else _steps(clock, network, duration)
        steps = min(steps, asked)
        if steps < asked or duration is None:
            end = (clock._calc_timestep(network.t_) + steps) * clock.dt_
            duration = Quantity(end - network.t_, dim=second.dim)
        if steps < 1:  # shorter than what is left of the present step
            return _nothing_to_compare(network, duration, namespace, lockstep)
        stepper = surrogate.stepper(steps, seed=seed)
        watch = Watch(part, surrogate, stepper, clock, lockstep)
        watch.stop_after(seconds, network)
        freeze_noise(part, stepper.noise)
        try:
            _run(network, duration, watch, namespace=namespace, **reported)
        finally:
            thaw_noise(part)
    comparison = Comparison(watch.agreement(), lockstep=lockstep, ties=ties_of(surrogate.program))
    steps, dt = stepper.steps, surrogate.program.dt  # a script can stop a run from outside, too
    comparison.runs.append(
        RunAgreement(steps, asked, dt, comparison.spikes, comparison.agrees, watch.out_of_time)
    )
    return comparison


def compare_with(surrogate, network, steps, inputs=None, *, lockstep=False, seed=1):
    """Run a network that was built from a model beside a surrogate that was made of another one.

    Parameters
    ----------
    surrogate : Surrogate
        In float64, and exact.
    network : brian2.Network
        With groups of the same names and sizes, at t = 0; its inputs are those of the trial. States for which
        the surrogate's model has an expression start where the surrogate starts.
    steps : int
    inputs : dict, optional
        For the surrogate, of one trial.
    lockstep, seed
        As for `compare`.

    Returns
    -------
    Comparison
    """
    with codegen_target("numpy"), _undisturbed():
        stepper = surrogate.stepper(steps, inputs, seed=seed)
        clock = _clock(network, surrogate.program.dt)
        watch = Watch(network, surrogate, stepper, clock, lockstep)
        for group in surrogate.model.groups:
            for name in group.initial:
                start = stepper.state[f"{group.name}.{name}"][0].numpy()
                watch.live[group.name].variables[name].set_value(start)
        freeze_noise(network, stepper.noise)
        _run(network, steps * clock.dt, watch, namespace={})
    comparison = Comparison(watch.agreement(), lockstep=lockstep)
    dt = surrogate.program.dt
    comparison.runs.append(RunAgreement(steps, steps, dt, comparison.spikes, comparison.agrees))
    return comparison


def _nothing_to_compare(network, duration, namespace, lockstep):
    run(network, duration, namespace=namespace)
    return Comparison(lockstep=lockstep)


# -- the network --------------------------------------------------------------------------------------


@contextmanager
def _undisturbed():
    """What overflows in Brian2 overflows in the surrogate, whatever a script has made of warnings."""
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        yield


def _surrogate(network, part, namespace):
    try:
        _refuse_single_precision(part)
        return Surrogate(captured(part, namespace), dtype=torch.float64, exact=True, backend="eager")
    except Exception as error:
        # What Brian2 does not run either is the script's failure, not a limit of the bridge.
        complaint = _complaint(network, namespace)
        if complaint is not None and not _lacks_numpy(complaint):
            raise Brian2Failed(complaint) from error
        raise


def _taking_part(network):
    """The network without what does not run: all for the magic network, which takes whatever is visible."""
    if not isinstance(network, MagicNetwork):
        return network
    network.check_dependencies()  # deactivates what is connected to something that is not visible
    known = {obj.id for obj in network.objects}
    contained = {id(c) for obj in network.objects for c in obj.contained_objects if kind(c) is None}
    part = Network()
    part.objects = {
        obj
        for obj in network.objects
        if id(obj) not in contained and (obj.active or obj._dependencies <= known)
    }
    part.t_, part.schedule = network.t_, network.schedule
    return part


def _complaint(network, namespace):
    """What Brian2 itself says against running the network, as the exception that it raises; or None."""
    objects = set(network.objects)
    try:
        run(network, 0 * second, namespace=namespace)
    except Exception as complaint:
        return complaint
    finally:
        network.objects |= objects  # the magic network forgets its objects after a run
    return None


def _lacks_numpy(complaint):
    """Whether Brian2 only misses an implementation for its numpy target (GSL, functions in C++)."""
    return isinstance(complaint.__cause__ or complaint, NotImplementedError)


def _refuse_single_precision(network):
    groups = [obj for obj in network.objects if isinstance(obj, NeuronGroup | Synapses)]
    refusals = [
        Refusal(
            group.name,
            "its variables are stored in single precision",
            "take out dtype= for the comparison: it needs Brian2's default, float64",
        )
        for group in groups
        if any(
            isinstance(variable, ArrayVariable) and variable.dtype == np.float32
            for variable in group.variables.values()
        )
    ]
    if refusals:
        raise Refused(refusals)


def _clock(network, dt):
    """A clock for the common steps of all clocks: one of them, unless these are multiples of shorter ones."""
    clocks = {part.clock for obj in network.objects for part in (obj, *obj.contained_objects)}
    fitting = [clock for clock in clocks if getattr(clock, "dt_", None) == dt]
    return fitting[0] if fitting else Clock(Quantity(dt, dim=second.dim))


def _steps(clock, network, duration):
    """Steps of a run that is about to start, counted as Brian2 does."""
    end = float(network.t + duration)
    return int(clock._calc_timestep(end) - clock._calc_timestep(network.t_))


# -- the run ------------------------------------------------------------------------------------------


def _run(network, duration, watch, namespace, **reported):
    """Run the live network with `watch` at the end of every step."""
    operation = _Operation(
        watch.after_step, clock=watch.clock, when=f"after_{network.schedule[-1]}", order=10**6
    )
    network.objects.add(operation)  # nothing can be added to the magic network by its `add`
    # Brian2 writes results of functions into a message that it hardly ever shows: keep that short
    short = np.printoptions(threshold=4, edgeitems=1)
    try:
        with short:
            run(network, duration, namespace=namespace, **reported)
    except Exception as error:
        network.objects.discard(operation)
        if watch.failure is not None:
            raise  # ours
        if isinstance(error.__cause__, Refused):  # by what is frozen
            raise error.__cause__ from None
        if _lacks_numpy(error):
            name = getattr(error, "_brian_objname", network.name)
            remedy = "add an implementation for 'numpy': the comparison uses this target of Brian2"
            raise Refused([Refusal(name, str(error.__cause__ or error), remedy)]) from error
        if not operation.prepared and isinstance(error, BrianObjectException):  # else: of its clocks
            thaw_noise(watch.network)
            if _complaint(network, namespace) is None:
                raise  # Brian2 would have run it: what we have frozen is at fault
        raise Brian2Failed(error) from error
    finally:
        network.objects.discard(operation)
    watch.after_run()


class _Operation(NetworkOperation):
    """Knows whether Brian2 has prepared all objects: it is the last one."""

    prepared = False

    def before_run(self, run_namespace):
        super().before_run(run_namespace)
        self.prepared = True
