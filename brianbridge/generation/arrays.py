"""The arrays that statements use, and what Brian2's variables in them mean."""

import numpy as np
from brian2 import TimedArray
from brian2.core.clocks import BaseClock
from brian2.core.functions import Function
from brian2.core.variables import ArrayVariable, Constant

from brianbridge.generation.program import Array, Name
from brianbridge.generation.random_numbers import Draw

__all__ = ["Arrays"]


class Arrays:
    """The arrays met so far, and the translation of Brian2's variables into `Name`.

    Parameters
    ----------
    inputs : dict of str to TimedArray
    monitor : str
        Name of the monitor that reads them, if one does: it has indices of its own.
    elements : ndarray of int or None
        The elements that it reads; None for all.
    """

    def __init__(self, inputs, monitor="", elements=None):
        self.monitor, self.elements = monitor, elements
        self.variables, self.selections = {}, {}
        self.samplers = {}
        self.input_names = {id(array): name for name, array in inputs.items()}

    def key(self, variable):
        key = f"{variable.owner.name}.{variable.name}"
        self.variables[key] = variable
        return key

    def name(self, identifier, variables, indices):
        variable = variables[identifier]
        if isinstance(variable, TimedArray):
            return Name("timed input", key=self.input_names[id(variable)])
        if isinstance(variable, Draw):
            return Name("random", key=variable.function, value=variable.number, shared=variable.shared)
        if isinstance(variable, Function):
            return Name("function", key=identifier)
        if isinstance(variable, Constant):
            return Name("constant", value=np.asarray(variable.get_value()).item(), dimensions=variable.dim)
        if not isinstance(variable, ArrayVariable):
            return None
        if isinstance(variable.owner, BaseClock):
            kind = {"t": "time", "dt": "step size", "timestep": "step number"}[variable.name]
            return Name(kind, value=variable.owner.dt_, dimensions=variable.dim)
        if variable.name == "N":
            return Name("constant", value=int(np.asarray(variable.get_value()).item()))
        through = self.index(indices.get(identifier, "_idx"), variables)
        return Name("array", key=self.key(variable), index=through, dimensions=variable.dim)

    def index(self, index, variables):
        """Key of the array through which something is read; None where element i reads element i."""
        if index == "0" or (index == "_idx" and self.elements is None):
            return None
        if not self.monitor:
            return self.key(variables[index])
        key = f"{self.monitor}.{index}"
        if index == "_idx":
            self.selections[key] = self.elements
        else:
            whole = np.asarray(variables[index].get_value())
            self.selections[key] = whole if self.elements is None else whole[self.elements]
        return key

    def table(self, blocks):
        written = set()
        for block in blocks:
            written |= {
                block.names[line.variable].key for line in block.lines if line.variable in block.names
            }
            if block.target:
                written.add(block.target)
            if block.sets_refractory:
                written |= {f"{block.group}.not_refractory", f"{block.group}.lastspike"}
        indices = {name.index for block in blocks for name in block.names.values() if name.index}
        indices |= {key for block in blocks for key in (block.sources, block.target_index) if key}
        table = {key: Array(key, values, False, "index") for key, values in self.selections.items()}
        for key, variable in self.variables.items():
            role = "state" if key in written else "index" if key in indices else "parameter"
            value = np.array(variable.get_value())
            value = value.reshape(()) if variable.scalar else value
            table[key] = Array(key, value, bool(variable.scalar), role)
        return table
