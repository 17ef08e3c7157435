"""Read model files: ``equations/NAME.toml``."""

import contextlib
import re
import tomllib
import warnings
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

import brian2
import numpy as np
from brian2 import Clock, Network, NeuronGroup, Synapses, TimedArray, get_device, second
from brian2.devices.device import runtime_device
from brian2.units.fundamentalunits import Quantity, get_dimensions, get_unit

from brianbridge.codegen_target import codegen_target
from brianbridge.initial import block_probability, scale_to_radius
from brianbridge.model.capture import capture
from brianbridge.model.constraints import Bounds, Dale, Free, Positive, Trainable
from brianbridge.model.equation_text import strip_trainable
from brianbridge.model.low_rank import LowRank, with_modes
from brianbridge.model.quantities import read_quantity
from brianbridge.model.rebuild import set_aside
from brianbridge.model.text_limits import check_code, check_equations
from brianbridge.random_state import random_state_kept
from brianbridge.spelling import hint

__all__ = ["ModelFileError", "equations_folder", "load_model", "model_names"]

TOP = {"source", "notes", "like", "dt", "constants", "inputs", "groups", "synapses"}
COMMON = {"model", "method", "order", "values", "initial", "bounds", "positive", "tie", "dale"}
GROUP = COMMON | {"n", "threshold", "reset", "refractory"}
SYNAPSES = COMMON | {
    "source",
    "target",
    "on_pre",
    "on_post",
    "delay",
    "connect",
    "sign",
    "radius",
    "low_rank",
}
LARGEST_GROUP = 1_000_000  # neurons
MOST_SYNAPSES = 100_000_000
LARGEST_FILE = 1_000_000  # bytes
LONGEST_MESSAGE = 500  # characters


class ModelFileError(ValueError):
    """A model file cannot be read; names the file and the table, quotes the text, says what to do."""


def equations_folder():
    """Folder of the model files that come with brianbridge: in the package, or beside it in a clone."""
    packaged = Path(str(resources.files("brianbridge"))) / "equations"
    return packaged if packaged.is_dir() else packaged.parents[1] / "equations"


def model_names():
    """Names that `load` takes: the files of `equations_folder`."""
    return tuple(sorted(path.stem for path in equations_folder().glob("*.toml")))


def load_model(name, seed=0, **sizes):
    """Read a model file.

    Parameters
    ----------
    name : str or Path
        Name of a file in ``equations/`` (``'li2020'``) or path of a ``.toml`` file.
    seed : int
        For connectivity and random values.
    **sizes : int
        Numbers of neurons, by group: ``cells=100``.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        Naming the file, the table and the text that is wrong.
    """
    path = _path(name)
    reader = _Reader(path, _tables(path), sizes)
    with _left_as_found(seed):
        try:
            return reader.model()
        finally:
            set_aside(reader.live.values())


def _path(name):
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ModelFileError(f"There is no model file {path}.")
        return path
    if path.suffix == ".safetensors":
        raise ModelFileError(f"{path} is a trained network; read it with bb.Trained.load().")
    path = equations_folder() / f"{name}.toml"
    if not path.is_file() or path.stem not in model_names():
        known = model_names()
        raise ModelFileError(
            f"There is no model {str(name)!r}; known are {', '.join(known)}.{hint(name, known)}"
        )
    return path


def _parse(path):
    if path.stat().st_size > LARGEST_FILE:
        raise ModelFileError(f"{path} is larger than 1 MB; a model file holds equations, not data.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8, and endless numbers
        raise ModelFileError(f"{path} is not valid TOML: {error}") from None


def _tables(path):
    """The tables of a file, laid over those of the file that it says it is like."""
    tables = _parse(path)
    name = tables.pop("like", None)
    if name is None:
        return tables
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
        raise ModelFileError(f"{path.name}, like: expected the name of another model, found {name!r:.80}.")
    other = path.with_name(f"{name}.toml")
    if not other.is_file():
        raise ModelFileError(f"{path.name}, like: there is no file {other.name} beside it.")
    common = _parse(other)
    if "like" in common:
        raise ModelFileError(
            f"{path.name}, like: {other.name} is itself like {common['like']!r}; one step is allowed."
        )
    return _laid_over(common, tables)


def _laid_over(common, own):
    """Tables of which each key is the file's own where it has one; empty text takes a key away."""
    merged = dict(common)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _laid_over(merged[key], value) if both else value
    return {key: value for key, value in merged.items() if value != ""}


@contextlib.contextmanager
def _left_as_found(seed):
    """Random numbers follow the seed; the generators of numpy and Brian2 and the target are left as found."""
    if get_device() is not runtime_device:
        raise ModelFileError("Load models before set_device(...): their values are drawn when they are read.")
    with random_state_kept(), codegen_target("numpy"):  # whose random numbers follow the seed everywhere
        brian2.seed(seed)
        yield


@dataclass
class _Reader:
    """Builds the live network that a file describes, and freezes it."""

    path: Path
    tables: dict
    sizes: dict
    live: dict = field(default_factory=dict)

    def fail(self, where, message):
        if len(message) > LONGEST_MESSAGE:  # it quotes the file
            message = f"{message[:LONGEST_MESSAGE]} ..."
        raise ModelFileError(f"{self.path.name}, {where}: {message}")

    def table(self, where, table, allowed=None):
        """A table, all of whose keys are allowed (None: any)."""
        if not isinstance(table, dict):
            self.fail(where, f"expected a table, found {table!r:.80}.")
        for key in table:
            if allowed is not None and key not in allowed:
                said = hint(key, allowed) or f" Known are {', '.join(sorted(allowed))}."
                self.fail(where, f"unknown key {key!r}.{said}")
        return table

    def text(self, where, table, key, default=None):
        value = table.get(key, default)
        if value is not None and not isinstance(value, str):
            self.fail(f"{where}.{key}", f"expected text, found {value!r:.80}.")
        if value:
            self.limits(f"{where}.{key}", value, check_equations if key == "model" else check_code)
        return value

    def limits(self, where, text, check=check_code):
        """Refuse text that would keep Brian2 busy for ever."""
        try:
            check(text)
        except ValueError as error:
            self.fail(where, str(error))

    def order(self, where, table):
        order = table.get("order", 0)
        if not isinstance(order, int) or isinstance(order, bool):
            self.fail(f"{where}.order", f"expected a whole number, found {order!r:.80}.")
        return order

    def quantity(self, where, text, dimensions=None):
        try:
            value = read_quantity(text)
        except ValueError as error:
            self.fail(where, str(error))
        if dimensions is not None and get_dimensions(value) != dimensions:
            self.fail(where, f"{text!r} is not in {get_unit(dimensions)!r}.")
        return value

    def time(self, where, text):
        value = self.quantity(where, text, second.dim)
        if not 0 < float(value) < float("inf"):
            self.fail(where, f"{text!r} is not a time step.")
        return value

    @contextlib.contextmanager
    def brian2(self, where, what="it"):
        """Brian2's own objections, said with the place in the file."""
        try:
            yield
        except ModelFileError:
            raise
        except Exception as error:  # its parser and its objects raise many kinds
            message = getattr(error.__cause__, "args", None) or error.args or [type(error).__name__]
            self.fail(where, f"Brian2 refuses {what}: {str(message[0]).strip()}")

    # -- the network ----------------------------------------------------------------------------------

    def model(self):
        tables = self.table("top level", self.tables, TOP)
        groups = self.table("groups", tables.get("groups", {}))
        synapses = self.table("synapses", tables.get("synapses", {}))
        if not groups:
            self.fail("groups", "the file describes no group of neurons.")
        self.sizes = self._sizes(groups)
        clock = Clock(self.time("dt", tables.get("dt", "0.1*ms")))
        names = self._constants(tables) | self._inputs(tables)
        trainable, initial = [], {}
        for kind, build, described in (
            ("groups", self._group, groups),
            ("synapses", self._synapses, synapses),
        ):
            for name, table in described.items():
                where = f"{kind}.{name}"
                if name in self.live:
                    self.fail(where, "there is a group of this name.")
                self.table(where, table, GROUP if kind == "groups" else SYNAPSES)
                with self.brian2(f"{where}.model", "the equations"):
                    text, flagged = strip_trainable(self.text(where, table, "model", ""))
                build(name, where, table, text, names, clock)
                initial[name] = self._values(where, table, flagged)
                self._sign(where, table, self.live[name])
                self._radius(where, table, self.live[name])
                trainable += self._trainable(where, self.live[name], table, flagged)
        model = capture(Network(*self.live.values()), {})
        model, trainable = self._modes(model, trainable)
        return replace(
            model,
            groups=tuple(replace(group, initial=initial[group.name]) for group in model.groups),
            trainable=tuple(trainable),
            source=self.text("top level", tables, "source", ""),
        )

    def _modes(self, model, trainables):
        """Weights of low rank start from the approximation of those that the file describes."""
        complete = []
        for trainable in trainables:
            if isinstance(trainable.constraint, LowRank):
                owner, variable = trainable.targets[0]
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of what the file asks for
                        model, trainable = with_modes(model, trainable)
                except ValueError as error:
                    self.fail(f"synapses.{owner}.low_rank.{variable}", str(error))
            complete.append(trainable)
        return model, complete

    def _sizes(self, groups):
        """Number of neurons of every group."""
        for name, size in self.sizes.items():
            if name not in groups:
                raise ModelFileError(
                    f"{self.path.name} has no group {name!r}; its groups are {', '.join(groups)}."
                    + hint(name, groups)
                )
            self._size(f"{name}=", size)
        stated = {name: self.table(f"groups.{name}", table).get("n") for name, table in groups.items()}
        sizes = stated | self.sizes
        return {name: self._size(f"groups.{name}.n", size) for name, size in sizes.items()}

    def _size(self, where, size):
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= LARGEST_GROUP:
            self.fail(where, f"{size!r} is not a number of neurons, from 1 to {LARGEST_GROUP:,}.")
        return size

    def _constants(self, tables):
        constants = self.table("constants", tables.get("constants", {}))
        return {name: self.quantity(f"constants.{name}", text) for name, text in constants.items()}

    def _inputs(self, tables):
        inputs = self.table("inputs", tables.get("inputs", {}))
        return {name: self._input(f"inputs.{name}", name, table) for name, table in inputs.items()}

    def _input(self, where, name, table):
        self.table(where, table, {"channels", "dt", "unit"})
        unit = self.quantity(f"{where}.unit", table.get("unit", "1"))
        channels = table.get("channels")
        if isinstance(channels, str):
            if channels not in self.sizes:
                self.fail(f"{where}.channels", f"{channels!r} is neither a number nor one of the groups.")
            channels = self.sizes[channels]
        zeros = np.zeros(1) if channels is None else np.zeros((1, self._size(f"{where}.channels", channels)))
        with self.brian2(where):
            return TimedArray(zeros * unit, dt=self.time(f"{where}.dt", table.get("dt", "1*ms")), name=name)

    def _group(self, name, where, table, text, names, clock):
        refractory = table.get("refractory", False)
        if isinstance(refractory, str):
            self.limits(f"{where}.refractory", refractory)
            with contextlib.suppress(ValueError):  # otherwise an expression
                refractory = read_quantity(refractory)
        with self.brian2(where):
            self.live[name] = NeuronGroup(
                self.sizes[name],
                text,
                threshold=self.text(where, table, "threshold"),
                reset=self.text(where, table, "reset"),
                refractory=refractory,
                method=self.text(where, table, "method", "euler"),
                order=self.order(where, table),
                namespace=dict(names),
                clock=clock,
                name=name,
            )

    def _synapses(self, name, where, table, text, names, clock):
        ends = {}
        for end in ("source", "target"):
            ends[end] = self.live.get(self.text(where, table, end))
            if not isinstance(ends[end], NeuronGroup):
                self.fail(where, f"{end} = {table.get(end)!r} is not one of the groups.")
        delay = table.get("delay")
        with self.brian2(where):
            self.live[name] = Synapses(
                **ends,
                model=text,
                on_pre=self.text(where, table, "on_pre"),
                on_post=self.text(where, table, "on_post"),
                delay=None if delay is None else self.quantity(f"{where}.delay", delay, second.dim),
                method=self.text(where, table, "method", "euler"),
                order=self.order(where, table),
                namespace=dict(names),
                clock=clock,
                name=name,
            )
        self._connect(f"{where}.connect", table.get("connect", True), self.live[name])

    def _connect(self, where, how, synapses):
        how = self.table(where, {} if how is True else how, {"p", "by", "condition", "n", "autapses"})
        n, condition = how.get("n", 1), self.text(where, how, "condition")
        p, largest = self._probability(where, how)
        if not isinstance(n, int) or not 0 < n <= MOST_SYNAPSES:
            self.fail(f"{where}.n", f"{n!r} is not a number of synapses.")
        if len(synapses.source) * len(synapses.target) * largest * n > MOST_SYNAPSES:
            self.fail(where, f"this would make more than {MOST_SYNAPSES:,} synapses.")
        if not how.get("autapses", True):
            condition = f"({condition}) and i != j" if condition else "i != j"
        with self.brian2(where, repr(how)):
            synapses.connect(condition=condition, p=p, n=n, namespace={})

    def _probability(self, where, how):
        """A number, or text for the table of one number for each pair of areas or types; and the largest."""
        p = how.get("p", 1.0)
        if "by" not in how:
            if not isinstance(p, int | float) or not 0 <= p <= 1:
                self.fail(f"{where}.p", f"{p!r} is not a probability.")
            return p, p
        label = self.text(where, how, "by")
        if not label.isidentifier():
            self.fail(f"{where}.by", f"{label!r} is not a variable of the groups at both ends.")
        try:
            return block_probability(label, p), np.max(p)
        except (ValueError, TypeError):
            self.fail(
                f"{where}.p",
                f"{p!r} is not a table of probabilities: with by = {label!r}, one row for each {label} of "
                "the source and one column for each of the target.",
            )

    def _values(self, where, table, flagged):
        """Assign values and initial states; returns the latter, which are drawn anew in every trial.

        Values, which are drawn once, may refer to the sizes of all groups: ``N_cells``.
        """
        sizes = {f"N_{name}": size for name, size in self.sizes.items()}
        values = self.table(f"{where}.values", table.get("values", {}))
        initial = self.table(f"{where}.initial", table.get("initial", {}))
        group = self.live[where.partition(".")[2]]
        for key, variable, value in [("values", *v) for v in values.items()] + [
            ("initial", *v) for v in initial.items()
        ]:
            place = f"{where}.{key}.{variable}"
            if variable not in group.variables:
                said = hint(variable, group.equations)
                self.fail(place, f"the equations do not define {variable!r}.{said}")
            if key == "initial" and variable in flagged:
                self.fail(place, f"{variable!r} is trainable: its start is given under values, once for all.")
            in_turn = value if key == "values" and isinstance(value, list) else [value]
            for step in in_turn:
                self._assign(place, group, variable, step, sizes if key == "values" else {})
        return {
            variable: value if isinstance(value, str) else repr(value) for variable, value in initial.items()
        }

    def _assign(self, where, group, variable, value, names):
        """Give a variable its value: a number, or an expression of the group's variables."""
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            self.fail(where, f"expected text or a number, found {value!r:.80}.")
        if isinstance(value, str):
            self.limits(where, value)
        with self.brian2(where, repr(value)):
            view = getattr(group, variable)
            if len(group):
                view.set_item(
                    slice(None), value if isinstance(value, str) else Quantity(value), namespace=names
                )

    def _sign(self, where, table, synapses):
        """Give every presynaptic neuron one sign, excitatory with the stated probability."""
        if "sign" not in table:
            return
        sign = self.table(f"{where}.sign", table["sign"], {"excitatory"})
        fraction = sign.get("excitatory")
        if not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            self.fail(f"{where}.sign.excitatory", f"{fraction!r} is not a fraction of the neurons.")
        self._need_weights(f"{where}.sign", synapses)
        n = len(synapses.source)
        signs = np.where(np.random.permutation(n) < round(fraction * n), 1.0, -1.0)
        synapses.w_ = np.abs(synapses.w_[:]) * signs[synapses.i[:]]

    def _radius(self, where, table, synapses):
        """Scale the weights so that the largest absolute eigenvalue of their matrix is the stated one."""
        if "radius" not in table:
            return
        where = f"{where}.radius"
        self._need_weights(where, synapses)
        radius = self.quantity(where, table["radius"], synapses.variables["w"].dim)
        try:
            scale_to_radius(synapses, radius)
        except ValueError as error:
            self.fail(where, str(error).removeprefix(f"{synapses.name}: "))

    def _need_weights(self, where, synapses):
        if "w" not in synapses.equations:
            self.fail(where, "it is about the weights 'w', but the equations define no 'w'.")

    # -- what is trained ------------------------------------------------------------------------------

    def _trainable(self, where, group, table, flagged):
        given = {key: table.get(key, {}) for key in ("bounds", "positive", "tie", "dale", "low_rank")}
        for key, variables in given.items():
            if key != "positive":
                self.table(f"{where}.{key}", variables)
            for variable in variables:
                if variable not in flagged:
                    self.fail(where, f"{key} is given for {variable!r}, which is not flagged (trainable).")
        trainables = []
        for variable in flagged:
            constraint = self._constraint(where, variable, given)
            dimensions = group.variables[variable].dim
            trainables.append(Trainable(((group.name, variable),), constraint, dimensions))
        return trainables

    def _constraint(self, where, variable, given):
        tie = given["tie"].get(variable)
        kinds = [key for key in ("bounds", "positive", "dale", "low_rank") if variable in given[key]]
        if len(kinds) > 1:
            self.fail(where, f"{' and '.join(kinds)} are given for {variable!r}; one of them is enough.")
        try:
            if kinds == ["bounds"]:
                return Bounds(*self._bounds(f"{where}.bounds.{variable}", given["bounds"][variable]), tie=tie)
            if kinds == ["dale"]:
                return Dale(by=given["dale"][variable], tie=tie)
            if kinds == ["low_rank"]:
                return LowRank(given["low_rank"][variable], tie=tie)
        except ModelFileError:
            raise
        except ValueError as error:
            self.fail(f"{where}.{kinds[0]}.{variable}", str(error))
        return Positive(tie=tie) if kinds else Free(tie=tie)

    def _bounds(self, where, bounds):
        if not isinstance(bounds, list) or len(bounds) != 2:
            self.fail(where, f'expected two quantities, ["5*ms", "50*ms"], found {bounds!r:.80}.')
        return [self.quantity(where, text) for text in bounds]
