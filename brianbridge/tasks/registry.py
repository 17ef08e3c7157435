"""Built-in tasks by the names that files and the command line use."""

import inspect

from brianbridge.spelling import did_you_mean
from brianbridge.tasks.comparison_after_delay import DelayedMatch, FrequencyDiscrimination
from brianbridge.tasks.digits import Digits
from brianbridge.tasks.eye_movements import EyeMovementSequence
from brianbridge.tasks.go_nogo import GoNoGo, SignedGoNoGo
from brianbridge.tasks.integration import ContextIntegration, ContextSwitch
from brianbridge.tasks.multimodal_decision import MotionOrColour, MultisensoryIntegration
from brianbridge.tasks.neurogym_adapter import NeuroGym
from brianbridge.tasks.parametric_working_memory import ParametricWorkingMemory
from brianbridge.tasks.perceptual_decision import PerceptualDecision, ReactionTime
from brianbridge.tasks.waveforms import EMGReaching, Oscillation, TemporalXOR

TASKS = {
    task.name: task
    for task in (
        ContextIntegration,
        ContextSwitch,
        DelayedMatch,
        FrequencyDiscrimination,
        SignedGoNoGo,
        GoNoGo,
        PerceptualDecision,
        ReactionTime,
        MotionOrColour,
        MultisensoryIntegration,
        ParametricWorkingMemory,
        EyeMovementSequence,
        Digits,
        Oscillation,
        TemporalXOR,
        EMGReaching,
        NeuroGym,
    )
}


class UnknownTaskError(KeyError):
    """No built-in task has this name."""

    def __str__(self):
        return self.args[0]  # a plain KeyError shows its message in quotes, with escapes


def names():
    """Return the names of the built-in tasks, sorted."""
    return sorted(TASKS)


def make(name, /, preset=None, **arguments):
    """Make a built-in task from its name.

    Parameters
    ----------
    name : str
        One of `names`.
    preset : str, optional
        A published version of the task, one of ``TASKS[name].presets``.
    **arguments
        Those of the task's class. Quantities may be text, such as ``delay='300 ms'`` or ``delay='300*ms'``.

    Returns
    -------
    Task

    Raises
    ------
    UnknownTaskError
        If no built-in task has this name. It is a KeyError.
    TypeError
        If the task does not have one of the arguments.

    Examples
    --------
    >>> make('context_integration', delay='300 ms').delay
    300. * msecond
    >>> make('delayed_match', preset='kim2019', delay='750 ms').bound
    0.7
    """
    if name not in TASKS:
        raise UnknownTaskError(
            f"no built-in task is called {name!r}; {did_you_mean(name, TASKS)} "
            f"(A task of your own is handed over as an object, not by name.)"
        )
    known = inspect.signature(TASKS[name]).parameters
    for argument in arguments:
        if argument not in known:
            raise TypeError(f"{name} has no argument {argument!r}; {did_you_mean(argument, known)}")
    return TASKS[name](**arguments) if preset is None else TASKS[name].preset(preset, **arguments)
