"""Run a live network and its surrogate side by side and compare them at the end of every step."""

from dataclasses import dataclass, field

import numpy as np
import torch
from brian2 import NetworkOperation, NeuronGroup, Synapses, prefs, second
from brian2.core.variables import ArrayVariable
from brian2.units.fundamentalunits import DIMENSIONLESS, get_unit

from brianbridge.bridge import captured
from brianbridge.comparison.script import in_words
from brianbridge.generation.frozen_noise import freeze_noise, thaw_noise
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.surrogate.module import Surrogate

__all__ = ["Brian2Failed", "Comparison", "EventAgreement", "ObjectAgreement", "StateAgreement", "compare"]

TOLERANCE = 1e-9  # of a variable's range


class Brian2Failed(Exception):
    """Brian2 itself does not run the network; quotes what it says."""


@dataclass
class EventAgreement:
    """Counts of one event of a group.

    Attributes
    ----------
    brian2, surrogate : int
        Events of all neurons in all steps.
    differing : int
        Bins of one neuron and one step in which there is an event on one side only.
    first : int or None
        First step that has such a bin.
    """

    brian2: int = 0
    surrogate: int = 0
    differing: int = 0
    first: int | None = None

    def see(self, theirs, ours, step):
        """Add one step: booleans of all neurons."""
        differing = int(np.count_nonzero(theirs != ours))
        self.brian2 += int(np.count_nonzero(theirs))
        self.surrogate += int(np.count_nonzero(ours))
        self.differing += differing
        if differing and self.first is None:
            self.first = step


@dataclass
class StateAgreement:
    """Largest difference of one variable over all steps and elements, in SI units.

    Attributes
    ----------
    unit : str
        Empty for a variable without.
    difference : float
        Infinite where only one side is infinite or not a number.
    low, high : float
        Smallest and largest finite value in Brian2.
    """

    unit: str
    difference: float = 0.0
    low: float = np.inf
    high: float = -np.inf

    def see(self, theirs, ours):
        """Add one step: values of all elements."""
        theirs, ours = theirs.astype(float), ours.astype(float)
        if not theirs.size:
            return
        low, high = theirs.min(), theirs.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = theirs[np.isfinite(theirs)]
            low, high = (finite.min(), finite.max()) if finite.size else (np.inf, -np.inf)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        if not np.array_equal(theirs, ours):
            equal = (theirs == ours) | (np.isnan(theirs) & np.isnan(ours))
            difference = np.abs(theirs[~equal] - ours[~equal])
            if difference.size:
                worst = difference.max()  # NaN if there is one
                self.difference = max(self.difference, float(worst) if np.isfinite(worst) else np.inf)

    @property
    def relative(self):
        """The difference as a part of the variable's range; of its value, where that never changes."""
        if self.difference == 0 or not np.isfinite(self.difference):
            return self.difference
        extent = self.high - self.low
        return self.difference / (extent or abs(self.high) or 1.0)

    @property
    def agrees(self):
        return self.relative <= TOLERANCE


@dataclass
class ObjectAgreement:
    """Events and state variables of one `NeuronGroup` or `Synapses`.

    Attributes
    ----------
    kind : str
    n : int
        Number of neurons or synapses.
    events : dict of str to EventAgreement
    states : dict of str to StateAgreement
    """

    kind: str
    n: int
    events: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)

    @property
    def agrees(self):
        return not any(e.differing for e in self.events.values()) and all(
            s.agrees for s in self.states.values()
        )


@dataclass
class Comparison:
    """What was seen.

    Attributes
    ----------
    steps : int
    dt : float
        Seconds.
    lockstep : bool
        Whether the surrogate was restarted from Brian2's state at every step.
    objects : dict of str to ObjectAgreement
    surrogate : Surrogate
    noise : dict of str to Tensor
        The random numbers that both were given, as in `Records.noise`.
    """

    steps: int
    dt: float
    lockstep: bool
    objects: dict
    surrogate: Surrogate
    noise: dict

    @property
    def agrees(self):
        """No spike bin differs, and no state by more than 1e-9 of its range."""
        return all(obj.agrees for obj in self.objects.values())

    @property
    def bit_equal(self):
        """Nothing differs at all."""
        return not any(
            [e.differing for obj in self.objects.values() for e in obj.events.values()]
            + [s.difference for obj in self.objects.values() for s in obj.states.values()]
        )

    @property
    def spikes(self):
        """Number of spikes in Brian2, of all groups."""
        return sum(obj.events["spike"].brian2 for obj in self.objects.values() if "spike" in obj.events)


def compare(network, namespace, steps, *, lockstep=False, seed=1):
    """Run a live network and its surrogate over the same steps and compare them at the end of each.

    The network runs on Brian2's numpy target with random numbers that the surrogate has drawn; the surrogate
    is the exact one in float64. Nothing is recorded, so that memory does not grow with the number of steps,
    except by the random numbers. The network is used up: it has run afterwards.

    Parameters
    ----------
    network : brian2.Network
        Before its first run.
    namespace : Mapping
        The names that the equations refer to, as in ``network.run(namespace=...)``.
    steps : int
        Steps of the shortest clock.
    lockstep : bool
        Restart the surrogate from Brian2's state at every step: in a chaotic network, where a difference in
        the last bit grows to a different spike, every single step can still be compared.
    seed : int
        Of the random numbers.

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
    target = prefs.codegen.target
    prefs.codegen.target = "numpy"
    try:
        with np.errstate(all="ignore"):  # what overflows in Brian2 overflows in the surrogate
            surrogate = _surrogate(network, namespace)
            stepper = surrogate.stepper(steps, seed=seed)
            freeze_noise(network, stepper.noise)
            watch = _Watch(network, surrogate, stepper, lockstep)
            _run(network, namespace, steps, watch)
    finally:
        thaw_noise(network)
        prefs.codegen.target = target
    return Comparison(steps, surrogate.program.dt, lockstep, watch.objects, surrogate, stepper.noise)


def _surrogate(network, namespace):
    try:
        _refuse_single_precision(network)
        return Surrogate(captured(network, namespace), dtype=torch.float64, exact=True)
    except Exception as error:
        # What Brian2 does not run either is the script's failure, not a limit of the bridge.
        try:
            network.run(0 * second, namespace=namespace)
        except Exception as complaint:
            if not _lacks_numpy(complaint):
                raise Brian2Failed(in_words(complaint)) from error
        raise


def _lacks_numpy(complaint):
    """Whether Brian2 only misses an implementation for its numpy target (GSL, functions in C++)."""
    return isinstance(complaint.__cause__ or complaint, NotImplementedError)


def _refuse_single_precision(network):
    groups = [obj for obj in network.objects if isinstance(obj, NeuronGroup | Synapses)]
    refusals = [
        Refusal(
            group.name,
            "its variables are stored in single precision",
            "take out prefs.core.default_float_dtype, or dtype=, for the comparison: it needs Brian2's "
            "default, float64",
        )
        for group in groups
        if any(
            isinstance(variable, ArrayVariable) and variable.dtype == np.float32
            for variable in group.variables.values()
        )
    ]
    if refusals:
        raise Refused(refusals)


def _run(network, namespace, steps, watch):
    """Run the live network with `watch` at the end of every step."""
    operation = NetworkOperation(
        watch.after_step, clock=watch.clock, when=f"after_{network.schedule[-1]}", order=10**6
    )
    network.add(operation)
    # Brian2 writes results of functions into a message that it hardly ever shows: keep that short
    short = np.printoptions(threshold=4, edgeitems=1)
    try:
        with short:
            network.run(steps * watch.surrogate.program.dt * second, namespace=namespace)
    except Exception as error:
        if watch.failure is not None:
            raise  # ours
        if _lacks_numpy(error):
            name = getattr(error, "_brian_objname", network.name)
            remedy = "add an implementation for 'numpy': the comparison uses this target of Brian2"
            raise Refused([Refusal(name, str(error.__cause__ or error), remedy)]) from error
        raise Brian2Failed(in_words(error)) from error
    finally:
        network.remove(operation)
    watch.after_run()


class _Watch:
    """Takes the surrogate along with a running network, and keeps the largest differences."""

    def __init__(self, network, surrogate, stepper, lockstep):
        self.surrogate, self.stepper, self.lockstep = surrogate, stepper, lockstep
        model, program = surrogate.model, surrogate.program
        names = {group.name for group in model.groups}
        self.live = {obj.name: obj for obj in network.objects if obj.name in names}
        self.clock = min((obj.clock for obj in self.live.values()), key=lambda clock: clock.dt_)
        self.objects = {
            group.name: ObjectAgreement(type(self.live[group.name]).__name__, group.n)
            for group in model.groups
        }
        self.states, self.events = {}, {}
        for key in stepper.state:
            if key.startswith("spikes "):
                group, event = key.removeprefix("spikes ").rsplit(".", 1)
                self.events[key] = self.objects[group].events[event] = EventAgreement()
            elif not key.startswith("past "):
                self._add_state(key)
        self.every = {
            key: program.every(program.event_dt(key.removeprefix("spikes "))) for key in self.events
        }
        self.failure = None

    def _add_state(self, key):
        group, name = key.split(".", 1)
        dimensions = self.live[group].variables[name].dim
        state = StateAgreement("" if dimensions is DIMENSIONLESS else str(get_unit(dimensions)))
        self.states[key] = self.objects[group].states[name] = state

    def after_step(self):
        try:
            self._compare()
        except Exception as error:
            self.failure = error
            raise

    def _compare(self):
        step = self.stepper.steps
        self.stepper.step()
        values = {key: self._value(key) for key in self.states}
        values |= {key: self._happened(key) for key in self.events}
        ours = {key: self.stepper.state[key][0].numpy() for key in values}
        for key, state in self.states.items():
            state.see(values[key], ours[key])
        for key, event in self.events.items():
            if step % self.every[key] == 0:
                event.see(values[key], ours[key] > 0.5, step)
        if self.lockstep:
            self.stepper.restart_from(values)

    def _value(self, key):
        group, name = key.split(".", 1)
        return np.atleast_1d(self.live[group].variables[name].get_value())

    def _happened(self, key):
        """Booleans of all neurons from the list of indices that Brian2 keeps."""
        group, event = key.removeprefix("spikes ").rsplit(".", 1)
        space = self.live[group].variables[f"_{event}space"].get_value()
        happened = np.zeros(self.objects[group].n, dtype=bool)
        happened[space[: space[-1]]] = True
        return happened

    def after_run(self):
        """What the surrogate takes for a constant must not have changed in Brian2 either."""
        for group in self.surrogate.model.groups:
            for name, start in group.values.items():
                key = f"{group.name}.{name}"
                if key not in self.states and not np.array_equal(
                    self._value(key), np.atleast_1d(start), equal_nan=start.dtype.kind == "f"
                ):
                    self._add_state(key)
                    self.states[key].see(self._value(key), np.atleast_1d(start))
