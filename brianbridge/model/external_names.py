"""What the names in equations refer to outside of the groups: constants, timed inputs and functions."""

import numbers
import re

import numpy as np
from brian2 import TimedArray
from brian2.codegen.translation import get_identifiers_recursively
from brian2.core.functions import Function
from brian2.core.namespace import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS, DEFAULT_UNITS
from brian2.units.fundamentalunits import get_dimensions

from brianbridge.model.description import TimedInput
from brianbridge.model.equation_text import statements
from brianbridge.model.groups import Constant

__all__ = ["ExternalNames"]


class ExternalNames:
    """Looks names up as Brian2 does, and collects the inputs and functions of a whole network.

    Parameters
    ----------
    namespace : Mapping
        Names besides the groups' own namespaces.

    Attributes
    ----------
    inputs : dict of str to TimedInput
    functions : dict of str to Function
    """

    def __init__(self, namespace):
        self.namespace = namespace
        self.inputs = {}
        self.functions = {}

    def sort(self, group, texts):
        """Sort the external names in a group's texts.

        Parameters
        ----------
        group : brian2.Group
        texts : sequence of str
            Expressions and statements.

        Returns
        -------
        constants : dict of str to Constant
        inputs : dict of str to str
            Names of timed inputs.
        functions : tuple of str
        """
        constants, inputs, functions = {}, {}, []
        expressions = [line for text in texts for line in _right_hand_sides(text)]
        own = group.variables
        for name in sorted(get_identifiers_recursively(expressions, own)):
            if name in own or name in DEFAULT_FUNCTIONS or name in DEFAULT_UNITS or name in DEFAULT_CONSTANTS:
                continue
            found = self._look_up(group, name)
            if isinstance(found, TimedArray):
                inputs[name] = self._timed_input(name, found)
            elif isinstance(found, Function) or hasattr(found, "_return_unit"):  # from @check_units
                self.functions[name] = found
                functions.append(name)
            elif isinstance(found, numbers.Number | np.number | np.bool_) or (
                isinstance(found, np.ndarray) and found.size == 1
            ):
                constants[name] = Constant(np.asarray(found).item(), get_dimensions(found))
        return constants, inputs, tuple(functions)

    def _look_up(self, group, name):
        for namespace in (group.namespace or {}, self.namespace):
            if name in namespace:
                return namespace[name]
        return None

    def _timed_input(self, name, array):
        """Name of the `TimedInput` for a `TimedArray`: the identifier, made unique if need be."""
        for key, known in self.inputs.items():
            if known.brian_name == array.name:
                return key
        key, number = name, 1
        while key in self.inputs:
            key, number = f"{name}_{number}", number + 1
        self.inputs[key] = TimedInput(
            name=key,
            values=np.array(array.values),
            dimensions=array.dim,
            dt=float(array.dt),
            brian_name=array.name,
        )
        return key


def _right_hand_sides(text):
    """Expressions of a text that is one expression or several statements."""
    for line in statements(text):
        statement = re.match(r"\w+\s*(?:[-+*/%]|\*\*|//)?=(?!=)\s*(.*)", line)
        yield statement.group(1) if statement else line
