"""Read model files: ``equations/NAME.toml``."""

import difflib
import tomllib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
from brian2 import Clock, Network, NeuronGroup, Synapses, TimedArray, prefs, seed
from brian2.units.fundamentalunits import DimensionMismatchError, Quantity

from brianbridge.model.capture import capture
from brianbridge.model.constraints import Bounds, Dale, Free, Positive, Trainable
from brianbridge.model.equation_text import strip_trainable
from brianbridge.model.quantities import read_quantity

__all__ = ["ModelFileError", "equations_folder", "load_model", "model_names"]

TOP = {"source", "notes", "dt", "constants", "inputs", "groups", "synapses"}
COMMON = {"model", "method", "values", "bounds", "positive", "tie", "initial"}
GROUP = COMMON | {"n", "threshold", "reset", "refractory"}
SYNAPSES = COMMON | {"source", "target", "on_pre", "on_post", "delay", "connect", "sign", "dale"}


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
    return _Reader(path, _parse(path)).model(seed, sizes)


def _path(name):
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ModelFileError(f"There is no model file {path}.")
        return path
    path = equations_folder() / f"{name}.toml"
    if not path.is_file() or path.stem not in model_names():
        close = difflib.get_close_matches(str(name), model_names(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ModelFileError(f"There is no model {str(name)!r}; known are {', '.join(model_names())}.{hint}")
    return path


def _parse(path):
    if path.stat().st_size > 1_000_000:
        raise ModelFileError(f"{path} is larger than 1 MB; a model file holds equations, not data.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path} is not valid TOML: {error}") from None


@dataclass
class _Reader:
    """Builds the live network that a file describes, and freezes it."""

    path: Path
    tables: dict

    def fail(self, where, message):
        raise ModelFileError(f"{self.path.name}, {where}: {message}")

    def check_keys(self, where, table, allowed):
        if not isinstance(table, dict):
            self.fail(where, f"expected a table, found {table!r}.")
        for key in table:
            if key not in allowed:
                close = difflib.get_close_matches(key, allowed, n=1)
                hint = (
                    f" Did you mean {close[0]!r}?" if close else f" Known are {', '.join(sorted(allowed))}."
                )
                self.fail(where, f"unknown key {key!r}.{hint}")

    def quantity(self, where, text):
        try:
            return read_quantity(text)
        except ValueError as error:
            self.fail(where, str(error))

    def model(self, random_seed, sizes):
        self.check_keys("top level", self.tables, TOP)
        for name in sizes:
            if name not in self.tables.get("groups", {}):
                known = ", ".join(self.tables.get("groups", {}))
                raise ModelFileError(f"{self.path.name} has no group {name!r}; its groups are {known}.")
        target, state = prefs.codegen.target, np.random.get_state()
        prefs.codegen.target = "numpy"  # the one whose random numbers follow the seed everywhere
        try:
            seed(random_seed)
            return self._model(sizes)
        finally:
            prefs.codegen.target = target
            np.random.set_state(state)

    def _model(self, sizes):
        clock = Clock(self.quantity("dt", self.tables.get("dt", "0.1*ms")))
        names = {
            name: self.quantity(f"constants.{name}", text)
            for name, text in self.tables.get("constants", {}).items()
        }
        names |= {name: self._input(name, table) for name, table in self.tables.get("inputs", {}).items()}
        live, trainable, initial = {}, [], {}
        for name, table in self.tables.get("groups", {}).items():
            self.check_keys(f"groups.{name}", table, GROUP)
            text, flagged = self._equations(f"groups.{name}", table)
            live[name] = self._group(name, table, text, sizes.get(name), clock, names)
            self._values(
                f"groups.{name}", live[name], {**table.get("values", {}), **table.get("initial", {})}
            )
            trainable += self._trainable(f"groups.{name}", live[name], table, flagged)
            initial[name] = table.get("initial", {})
        for name, table in self.tables.get("synapses", {}).items():
            self.check_keys(f"synapses.{name}", table, SYNAPSES)
            text, flagged = self._equations(f"synapses.{name}", table)
            live[name] = self._synapses(name, table, text, live, clock, names)
            self._values(f"synapses.{name}", live[name], table.get("values", {}))
            self._sign(name, table, live[name])
            trainable += self._trainable(f"synapses.{name}", live[name], table, flagged)
        model = capture(Network(*live.values()), {})
        groups = tuple(replace(g, initial=initial.get(g.name, {})) for g in model.groups)
        return replace(model, groups=groups, trainable=tuple(trainable), source=self.tables.get("source", ""))

    def _input(self, name, table):
        self.check_keys(f"inputs.{name}", table, {"channels", "dt", "unit"})
        unit = self.quantity(f"inputs.{name}.unit", table.get("unit", "1"))
        channels = table.get("channels")
        zeros = np.zeros(1) if channels is None else np.zeros((1, channels))
        return TimedArray(
            zeros * unit, dt=self.quantity(f"inputs.{name}.dt", table.get("dt", "1*ms")), name=name
        )

    def _equations(self, where, table):
        try:
            return strip_trainable(table.get("model", ""))
        except Exception as error:  # Brian2's parser raises several kinds
            self.fail(f"{where}.model", f"{error}")

    def _group(self, name, table, text, n, clock, names):
        refractory = table.get("refractory", False)
        if isinstance(refractory, str) and _is_quantity(refractory):
            refractory = read_quantity(refractory)
        try:
            return NeuronGroup(
                n or table.get("n"),
                text,
                threshold=table.get("threshold"),
                reset=table.get("reset"),
                refractory=refractory,
                method=table.get("method", "euler"),
                namespace=dict(names),
                clock=clock,
                name=name,
            )
        except Exception as error:
            self.fail(f"groups.{name}", f"Brian2 refuses it: {error}")

    def _synapses(self, name, table, text, live, clock, names):
        for end in ("source", "target"):
            if table.get(end) not in live:
                self.fail(f"synapses.{name}", f"{end} = {table.get(end)!r} is not one of the groups.")
        delay = table.get("delay")
        try:
            synapses = Synapses(
                live[table["source"]],
                live[table["target"]],
                model=text,
                on_pre=table.get("on_pre"),
                on_post=table.get("on_post"),
                delay=None if delay is None else self.quantity(f"synapses.{name}.delay", delay),
                method=table.get("method", "euler"),
                namespace=dict(names),
                clock=clock,
                name=name,
            )
        except ModelFileError:
            raise
        except Exception as error:
            self.fail(f"synapses.{name}", f"Brian2 refuses it: {error}")
        self._connect(name, table.get("connect", True), synapses)
        return synapses

    def _connect(self, name, how, synapses):
        where = f"synapses.{name}.connect"
        if how is True:
            synapses.connect()
            return
        self.check_keys(where, how, {"p", "condition", "n", "autapses"})
        condition = how.get("condition")
        if not how.get("autapses", True):
            condition = f"({condition}) and i != j" if condition else "i != j"
        try:
            synapses.connect(condition=condition, p=how.get("p", 1.0), n=how.get("n", 1))
        except Exception as error:
            self.fail(where, f"Brian2 refuses {how!r}: {error}")

    def _values(self, where, group, values):
        for variable, text in values.items():
            if variable not in group.variables:
                self.fail(where, f"a value is given for {variable!r}, which the equations do not define.")
            if not len(group):
                continue
            try:
                value = (
                    Quantity(text) if isinstance(text, int | float) and not isinstance(text, bool) else text
                )
                setattr(group, variable, value)
            except (DimensionMismatchError, Exception) as error:
                self.fail(f"{where}.values.{variable}", f"Brian2 refuses {text!r}: {error}")

    def _sign(self, name, table, synapses):
        """Give every presynaptic neuron one sign, excitatory with the stated probability."""
        if "sign" not in table:
            return
        self.check_keys(f"synapses.{name}.sign", table["sign"], {"excitatory"})
        fraction = table["sign"]["excitatory"]
        n = len(synapses.source)
        signs = np.where(np.random.permutation(n) < round(fraction * n), 1.0, -1.0)
        synapses.w_ = np.abs(synapses.w_[:]) * signs[synapses.i[:]]

    def _trainable(self, where, group, table, flagged):
        for key in ("bounds", "positive", "tie", "dale"):
            for variable in table.get(key, {}):
                if variable not in flagged:
                    self.fail(where, f"{key} is given for {variable!r}, which is not flagged (trainable).")
        trainables = []
        for variable in flagged:
            tie = table.get("tie", {}).get(variable)
            if variable in table.get("bounds", {}):
                low, high = (
                    self.quantity(f"{where}.bounds.{variable}", t) for t in table["bounds"][variable]
                )
                constraint = Bounds(low, high, tie=tie)
            elif variable in table.get("dale", {}):
                constraint = Dale(by=table["dale"][variable], tie=tie)
            elif variable in table.get("positive", {}):
                constraint = Positive(tie=tie)
            else:
                constraint = Free(tie=tie)
            dimensions = group.variables[variable].dim
            trainables.append(Trainable(((group.name, variable),), constraint, dimensions))
        return trainables


def _is_quantity(text):
    try:
        read_quantity(text)
    except ValueError:
        return False
    return True
