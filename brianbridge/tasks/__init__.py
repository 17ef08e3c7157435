"""Tasks: what a network is shown, what it should answer, and when an answer is correct.

Two ways to a task, with the same result:

>>> from brian2 import ms
>>> from brianbridge import tasks
>>> task = tasks.ContextIntegration(delay=300*ms)
>>> task = tasks.make('context_integration', delay='300 ms')     # names and strings, as in files
>>> trials = task.trials(rng=1, batch=10, dt=1*ms)
>>> trials.inputs['stimulus'].shape                              # time, batch, channels
(1050, 10, 4)

A task of your own is any object with the four members of `Task`. What the built-in tasks are made of is there
for it too: `tasks.epochs` (the course of a trial), `tasks.conditions` (balanced designs), `tasks.streams`
(input signals), `tasks.decisions` (reading an answer out of an output).
"""

from brianbridge.tasks.built_in import BuiltInTask
from brianbridge.tasks.comparison_after_delay import DelayedMatch, FrequencyDiscrimination
from brianbridge.tasks.digits import Digits
from brianbridge.tasks.durations import TruncatedExponential, Uniform
from brianbridge.tasks.eye_movements import EyeMovementSequence
from brianbridge.tasks.figure import plot_trials
from brianbridge.tasks.go_nogo import GoNoGo, SignedGoNoGo
from brianbridge.tasks.integration import ContextIntegration, ContextSwitch
from brianbridge.tasks.multimodal_decision import MotionOrColour, MultisensoryIntegration
from brianbridge.tasks.neurogym_adapter import NeuroGym
from brianbridge.tasks.parametric_working_memory import ParametricWorkingMemory
from brianbridge.tasks.perceptual_decision import PerceptualDecision, ReactionTime
from brianbridge.tasks.registry import TASKS, UnknownTaskError, make, names
from brianbridge.tasks.task import Task
from brianbridge.tasks.trials import Trials
from brianbridge.tasks.waveforms import EMGReaching, Oscillation, TemporalXOR

__all__ = [
    "BuiltInTask",
    "ContextIntegration",
    "ContextSwitch",
    "DelayedMatch",
    "Digits",
    "EMGReaching",
    "EyeMovementSequence",
    "FrequencyDiscrimination",
    "GoNoGo",
    "MotionOrColour",
    "MultisensoryIntegration",
    "NeuroGym",
    "Oscillation",
    "ParametricWorkingMemory",
    "PerceptualDecision",
    "ReactionTime",
    "SignedGoNoGo",
    "TASKS",
    "Task",
    "TemporalXOR",
    "Trials",
    "TruncatedExponential",
    "Uniform",
    "UnknownTaskError",
    "make",
    "names",
    "plot_trials",
]
