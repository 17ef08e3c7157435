"""What was seen when a network and its surrogate took the same steps: for one run, and for several."""

from dataclasses import dataclass, field

__all__ = ["Comparison", "EventAgreement", "ObjectAgreement", "RunAgreement", "StateAgreement"]

TOLERANCE = 1e-9  # of a variable's range


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
        First step that has such a bin, counted from the first step that was compared.
    """

    brian2: int = 0
    surrogate: int = 0
    differing: int = 0
    first: int | None = None

    def add(self, later, steps):
        """Add a later run, before which so many steps were compared."""
        self.brian2 += later.brian2
        self.surrogate += later.surrogate
        self.differing += later.differing
        if self.first is None and later.first is not None:
            self.first = steps + later.first


@dataclass
class StateAgreement:
    """Largest difference of one variable over all steps and elements.

    Attributes
    ----------
    unit : str
        Of the difference, which is in SI units; empty for a variable without.
    difference : float
        Infinite where only one side is infinite or not a number.
    relative : float
        The difference as a part of the variable's range in the same run; of its value, where that never
        changes; 1 where it is zero in Brian2 all along.
    """

    unit: str
    difference: float = 0.0
    relative: float = 0.0

    @property
    def agrees(self):
        return self.relative <= TOLERANCE

    def add(self, later):
        """Add a later run."""
        self.difference = max(self.difference, later.difference)
        self.relative = max(self.relative, later.relative)


@dataclass
class ObjectAgreement:
    """Events and state variables of one Brian2 object, such as a `NeuronGroup` or `Synapses`.

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

    def is_like(self, other):
        """Whether two objects of the same name may be the same one, or one that was made in its place."""
        units = {name: state.unit for name, state in other.states.items()}
        return (self.kind, self.n) == (other.kind, other.n) and all(
            units.get(name, state.unit) == state.unit for name, state in self.states.items()
        )

    def add(self, later, steps):
        """Add a later run, before which so many steps were compared."""
        for name, event in later.events.items():
            self.events.setdefault(name, EventAgreement()).add(event, steps)
        for name, state in later.states.items():
            self.states.setdefault(name, StateAgreement(state.unit)).add(state)


@dataclass(frozen=True)
class RunAgreement:
    """One of the runs that were compared.

    Attributes
    ----------
    steps : int
        Of the network's shortest clock.
    asked : int
        Steps that the whole run has; more than were compared where it was cut short.
    dt : float
        Seconds.
    spikes : int
        In Brian2, of all groups.
    agrees : bool
    out_of_time : bool
        Whether it was cut short since it took too long.
    """

    steps: int
    asked: int
    dt: float
    spikes: int
    agrees: bool
    out_of_time: bool = False


@dataclass
class Comparison:
    """What was seen in one run or several.

    Attributes
    ----------
    objects : dict of str to ObjectAgreement
    runs : list of RunAgreement
    lockstep : bool
        Whether the surrogate was restarted from Brian2's state at every step.
    ties : list of str
        What happens first only by the names of the objects.
    """

    objects: dict = field(default_factory=dict)
    runs: list = field(default_factory=list)
    lockstep: bool = False
    ties: list = field(default_factory=list)

    @property
    def steps(self):
        """Number of steps of all runs."""
        return sum(run.steps for run in self.runs)

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

    def add(self, later):
        """Add later runs.

        What has the same name is counted together; where another object has taken over the name, it has an
        entry of its own, such as ``'cells (run 2)'``.
        """
        steps, number = self.steps, len(self.runs) + 1
        for name, obj in later.objects.items():
            known = next((known for known in self._entries(name) if known.is_like(obj)), None)
            if known is None:
                label = f"{name} (run {number})" if name in self.objects else name
                known = self.objects[label] = ObjectAgreement(obj.kind, obj.n)
            known.add(obj, steps)
        self.runs += later.runs
        self.ties += [tie for tie in later.ties if tie not in self.ties]

    def _entries(self, name):
        return [obj for label, obj in self.objects.items() if label == name or label.startswith(f"{name} (")]
