"""Reads study.toml: what each point is, how it is trained, and when it counts as trained."""

import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

import brianbridge as bb
from brianbridge.model.files import model_names
from brianbridge.model.quantities import read_quantity
from brianbridge.spelling import hint


class StudyError(ValueError):
    """The study says something that cannot be meant; names the point and quotes the text."""


@dataclass(frozen=True)
class Training:
    """Arguments of `bb.fit` and `bb.Surrogate`.

    `task` and ``validation["task"]`` hold what differs from the task of the test.
    """

    updates: int
    stop: dict
    task: dict = field(default_factory=dict)
    validation: dict = field(default_factory=dict)
    batch: int = 10
    learning_rate: float = 0.01
    learning_rates: dict = field(default_factory=dict)
    optimiser: str = "Adam"
    loss: str = "root_sum_square"
    spike_gradient: dict = field(default_factory=dict)
    reset_gradient: bool = True
    vanishing_gradient: dict = field(default_factory=dict)
    precision: str = "float32"
    clip: float = 1.0
    truncate: str = ""
    keep: str = "last"


@dataclass(frozen=True)
class Brian2:
    """Fresh trials in Brian2, at the time step of training and at the finer `dt`.

    `same_trials` are simulated in the surrogate and in Brian2.
    """

    trials: int
    dt: str
    same_trials: int = 10


@dataclass(frozen=True)
class Criterion:
    """A network counts as trained if training met its rule to stop, and Brian2 is as accurate at `dt`.

    `accuracy` is the lowest and the highest one; `margin` widens this range on both sides.
    """

    text: str
    dt: str
    accuracy: list
    margin: float


@dataclass(frozen=True)
class Psychometric:
    """Choices at signed coherences in percent, at the finer time step; `trials` for each of both signs."""

    coherences: list
    trials: int


@dataclass(frozen=True)
class Point:
    """One network.

    `sizes` are those of `bb.load`; `scaled` multiplies initial values; training begins with the trained
    network of `start`, a point further above, instead of the untrained one; `dt` is the time step of
    training, if it is not that of the model file; `state` is compared step by step, besides spikes and
    output.
    """

    model: str
    seed: int
    task: dict
    training: Training
    brian2: Brian2
    criterion: Criterion
    sizes: dict = field(default_factory=dict)
    scaled: dict = field(default_factory=dict)
    start: str = ""
    dt: str = ""
    state: str = ""
    psychometric: Psychometric | None = None


TABLES = {"training": Training, "brian2": Brian2, "criterion": Criterion, "psychometric": Psychometric}
KINDS = {int: "a whole number", float: "a number", str: "text", dict: "a table", bool: "true or false",
         list: "a list"}  # fmt: skip


def read_study(path):
    """Read and check a study.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Point
        By ``SYSTEM.NAME``.

    Raises
    ------
    StudyError
    """
    try:
        systems = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read: {error}") from None
    points = {}
    for system, tables in systems.items():
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise StudyError(f"[{system}]: expected tables [{system}.NAME], one for each point.")
        for name, table in tables.items():
            point = points[f"{system}.{name}"] = _read(Point, f"{system}.{name}", table)
            with about(f"{system}.{name}"):
                _check(point, points)
    return points


class about:
    """Errors of a block begin with the name of the point."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, ValueError | TypeError | KeyError) and not isinstance(error, StudyError):
            raise StudyError(f"[{self.name}]: {error.args[0] if error.args else error}") from None


def _check(point, points):
    """Refuse models, tasks and points that do not exist, and text that is no quantity."""
    if point.start and (point.start not in points or points[point.start] is point):
        raise ValueError(f"start = {point.start!r} is not a point above this one.")
    if point.model not in model_names():
        known = ", ".join(model_names())
        raise ValueError(
            f"there is no model {point.model!r}.{hint(point.model, model_names())} Known: {known}."
        )
    for changes in ({}, point.training.task, point.training.validation.get("task", {})):
        task_of(point, changes)
    for text in filter(None, [point.dt, point.training.truncate, point.brian2.dt, point.criterion.dt]):
        read_quantity(text)


def _read(kind, where, table):
    """A dataclass from a table; the errors name the table and quote what is in it."""
    known = {f.name: f for f in fields(kind)}
    values = {}
    for key, value in table.items():
        if key not in known:
            raise StudyError(
                f"[{where}]: {key!r} is not known (it says {key} = {value!r:.60}).{hint(key, known)} "
                f"Known are {', '.join(known)}."
            )
        if key in TABLES:
            value = _read(TABLES[key], f"{where}.{key}", _of_kind(where, key, value, dict))
        else:
            value = _of_kind(where, key, value, known[key].type)
        values[key] = value
    for key, f in known.items():
        if key not in values and f.default is MISSING and f.default_factory is MISSING:
            raise StudyError(f"[{where}]: {key!r} is missing.")
    return kind(**values)


def _of_kind(where, key, value, kind):
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise StudyError(f"[{where}]: {key} = {value!r:.60} should be {KINDS[kind]}.")
    return value


def task_of(point, changes=None):
    """The task of a point, with some arguments changed."""
    arguments = point.task | (changes or {})
    return bb.tasks.make(arguments.pop("name"), **arguments)


def model_of(point):
    """The untrained model, with the time step of training and the initial values that are wanted."""
    model = bb.load(point.model, seed=point.seed, **point.sizes)
    scaled = {tuple(name.split(".")): factor for name, factor in point.scaled.items()}
    model = model.with_values({key: factor * model[key[0]].values[key[1]] for key, factor in scaled.items()})
    return model.with_dt(read_quantity(point.dt)) if point.dt else model
