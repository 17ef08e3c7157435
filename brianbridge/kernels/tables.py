"""What the names of a generated step stand for, and the C identifiers that they get."""

import ast
from dataclasses import dataclass, field

import numpy as np
import torch

from brianbridge.kernels.operations import FUNCTIONS
from brianbridge.kernels.values import NotCompilable
from brianbridge.model.groups import SPIKE_TIMES

__all__ = ["COMPARISONS", "Tables"]

TYPES = {
    torch.bool: "bool",
    torch.int32: "int",
    torch.int64: "long",
    torch.float32: "real",
    torch.float64: "wide",
}
PYTHON_TYPES = {bool: "truth", int: "whole", float: "number"}
NUMBERS = {"truth": 0, "whole": 1, "number": 2}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


@dataclass
class Tables:
    """Names of one step.

    Parameters
    ----------
    rendered : Rendered
    program : Program
    constants : dict of str to Tensor, number or tuple
        What the prelude returned, by name.
    inputs : dict of str to tuple
        Shapes (time, batch, n) of the timed inputs.
    dtype : torch.dtype
    varied : frozenset of str
        C identifiers of what a gradient is wanted of; grows to all that depends on it.
    gradients : dict
        C function, width and height of every spike gradient, by key of the comparison; None without one.
    reset_gradient : bool
    """

    rendered: object
    program: object
    constants: dict
    inputs: dict
    dtype: torch.dtype
    varied: set
    gradients: dict
    reset_gradient: bool
    literals: list = field(default_factory=list)
    indices: list = field(default_factory=list)
    columns: dict = field(default_factory=dict)  # names of index arrays to numbers of elements
    rows: dict = field(default_factory=dict)  # name of C pointer to (source, number, C text of the row)
    temporaries: dict = field(default_factory=dict)  # C identifier to (type, size, value or name)
    grid_constants: list = field(default_factory=list)  # (name, Grid)
    sparse_constants: list = field(default_factory=list)  # (name, Grid)
    grid_gradients: set = field(default_factory=set)  # numbers of grids that have a gradient
    grid_indices: list = field(default_factory=list)  # (name, Grid, along the rows)
    reciprocals: list = field(default_factory=list)  # names of constants
    sorted_groups: dict = field(default_factory=dict)  # group to SortedSynapses
    output_types: dict = field(default_factory=dict)

    def __post_init__(self):
        names = self.rendered.identifiers
        arrays = self.program.arrays
        self.states = {names[key]: arrays[key] for key in self.rendered.states}
        self.events = {names[f"spikes {event}"]: event for event in self.rendered.events}
        self.noise_keys = list(self.rendered.noise)
        self.input_keys = list(self.inputs)

    # -- arrays ---------------------------------------------------------------------------------------

    def changes(self, name):
        """Whether a name is an array or an event that the step changes."""
        return name in self.states or name in self.events

    def is_number(self, name):
        return type(self.constants.get(name)) in PYTHON_TYPES

    def is_shared(self, name):
        """Whether a name has one value for the whole group; names of other things do not matter."""
        if name in self.states:
            return self.states[name].scalar or self.states[name].value.size == 1
        value = self.constants.get(name)
        return name not in self.events and (not torch.is_tensor(value) or value.numel() == 1)

    def type(self, name):
        if name in self.events:
            return "real"
        if name in self.states:
            key = self.states[name].key
            if key.rpartition(".")[2] in SPIKE_TIMES:
                return "wide"
            array = self.states[name]
            if array.kind == "float":
                return "real"
            return "bool" if array.kind == "boolean" else "long" if array.value.dtype.itemsize > 4 else "int"
        value = self.constants[name]
        kind = TYPES[value.dtype]
        return "real" if value.dtype == self.dtype else kind

    def symbol(self, name):
        if name in self.events:
            return f"z_{name}"
        return f"s_{name}" if name in self.states else f"c_{name}"

    def event(self, key):
        return f"z_{self.rendered.identifiers[f'spikes {key}']}"

    def varies(self, symbol):
        if symbol.startswith("x_"):  # rows of one input
            symbol = "_".join(symbol.split("_")[:2])
        return symbol in self.varied

    def index(self, text):
        """C identifier of an index array, given by its name in the step."""
        if not torch.is_tensor(self.constants.get(text)):
            raise NotCompilable(f"an index that changes ({text})")
        if text not in self.indices:
            self.indices.append(text)
        return f"i_{text}"

    def temporary(self, part, body, value):
        """C identifier of an array that carries a value from one loop to another."""
        number = self.rendered.parts.index(part)
        known = (symbol for symbol, kept in self.temporaries.items() if kept[-1] is value)
        symbol = next(known, f"m_{number}_{len(self.temporaries)}")
        self.temporaries[symbol] = value.type, 1 if body.shared else part.block.size, value
        if value.varied:
            self.varied.add(symbol)
        return symbol

    def copy(self, array):
        """C identifier of an array that holds a copy of another one."""
        symbol = f"m_copy_{array}"
        self.temporaries[symbol] = self.type(array[2:]), self.length(array[2:]), array
        if array in self.varied:
            self.varied.add(symbol)
        return symbol

    def length(self, name):
        """Number of elements of an array that changes."""
        if name in self.events:
            return self.program.events[self.events[name]]
        return 1 if self.states[name].scalar else self.states[name].value.size

    # -- numbers by which the kernel refers to arrays --------------------------------------------------

    @property
    def is_single(self):
        return self.dtype == torch.float32

    @property
    def arrays(self):
        """C identifiers of all arrays in the block of states: carried ones, events, temporary ones."""
        return [*map(self.symbol, self.states), *map(self.symbol, self.events), *self.temporaries]

    def array_number(self, symbol):
        return self.arrays.index(symbol)

    def constant_number(self, symbol):
        return self.rendered.constants.index(symbol[2:])

    def index_number(self, symbol):
        names = [*self.indices, *self.columns]
        return names.index(symbol[2:])

    def reciprocal(self, symbol):
        """C identifier of one divided by a constant."""
        return f"q_{self._number_of(self.reciprocals, symbol[2:])}"

    def grid_constant(self, symbol, grid):
        """C identifier of a constant laid out as a grid."""
        return f"y_{self._number_of(self.grid_constants, (symbol[2:], grid))}"

    def sparse_constant(self, symbol, grid):
        """C text of the values at a grid's synapses alone, sorted by column; null if that is slower."""
        if not grid.sparse:
            return "NULL"
        return f"p->sparse + {self._number_of(self.sparse_constants, (symbol[2:], grid))}"

    def table_of_grid(self, symbol, grid):
        """C text of an index array that only depends on the row, or on the column; None if on both."""
        index = self.index_values(symbol[2:])
        for axis, element in ((0, "row"), (1, "column")):
            if grid.along(axis, index) is not None:
                return f"h_{self._number_of(self.grid_indices, (symbol[2:], grid, axis))}[{element}]"
        return None

    def index_values(self, name):
        value = self.constants[name]
        return np.asarray(value[0] if isinstance(value, tuple) else value)

    @staticmethod
    def _number_of(known, item):
        if item not in known:
            known.append(item)
        return known.index(item)

    def output_every(self, number):
        """Number of steps between two rows of an output."""
        return self._records()[number][0].every

    def output_size(self, number):
        return self._records()[number][0].block.size

    def _records(self):
        """The record and the line of every output."""
        return [(record, name) for record in self.program.records for name in record.outputs]

    # -- inputs and random numbers --------------------------------------------------------------------

    def noise(self, key, step, block):
        """C pointer to this step's random numbers of a place, and the index that reads it."""
        number = self.noise_keys.index(key)
        name = f"r_{number}"
        self.rows[name] = "noise", number, step
        return name, "0" if self.rendered.noise[key][1] == 1 != block.size else ""

    def noise_type(self, number):
        """Type of the random numbers of a place; a count is made of a number in double precision."""
        keys = self.noise_keys[number : number + 1]
        return "wide" if keys and self.rendered.noise[keys[0]][0] == "poisson" else "real"

    def given_events(self, key, step):
        number = len(self.noise_keys) + self.rendered.events.index(key)
        name = f"r_{number}"
        self.rows[name] = "noise", number, step
        return name

    def input_row(self, key, time, dt, upsampling):
        """C pointer to the row of an input at a time that is the same for all."""
        number = self.input_keys.index(key)
        time, _ = self.number(time)
        dt, upsampling = (self.number(x)[0] for x in (dt, upsampling))
        text = f"input_row({time}, {dt}, {upsampling}, p->input_rows[{number}])"
        name = next((n for n, row in self.rows.items() if row == ("input", number, text)), None)
        name = name or f"x_{number}_{len(self.rows)}"
        self.rows[name] = "input", number, text
        return name

    def input(self, key):
        """C pointer to all rows of an input."""
        number = self.input_keys.index(key)
        self.rows[f"x_{number}"] = "input", number, "0"
        return f"x_{number}"

    def column(self, key, columns, size):
        """How one of `size` elements finds its column: ``''`` its own number, ``'0'``, or an index array."""
        width = self.inputs[key][2]
        if columns is None:
            return "0" if width == 1 else ""
        name = ast.unparse(columns)
        if name not in self.constants:
            raise NotCompilable(f"columns of the input {key} that change")
        index, in_order = self.constants[name]
        one_for_all = index.numel() == 1 < size
        if in_order and index.numel() == width and not one_for_all:
            return ""
        self.columns[name] = size
        return f"i_{name}"

    def spike_gradient(self, key):
        """C text of the spike gradient of a comparison at the distance ``{x}``; empty if it has none."""
        if self.gradients.get(key) is None:
            return ""
        function, width, height = self.gradients[key]
        return f"{function}({{x}}, {self.literal(width)[0]}, {self.literal(height)[0]})"

    # -- numbers --------------------------------------------------------------------------------------

    def number(self, node):
        """C text and type of a Python number: literals become parameters, so that values do not matter."""
        if isinstance(node, ast.Constant):
            return self.literal(node.value)
        if isinstance(node, ast.Name):
            if node.id in ("t", "k"):
                return node.id, {"t": "number", "k": "whole"}[node.id]
            return self.literal(self.constants[node.id])
        return getattr(self, f"number_{type(node).__name__}")(node)

    def literal(self, value):
        kind = PYTHON_TYPES[type(value)]
        if kind != "number":
            return str(int(value)), kind
        if value not in self.literals:
            self.literals.append(value)
        return f"l_{self.literals.index(value)}", kind

    def extent(self, number):
        """C text of a number that depends on the size of the network: never shared with another one."""
        self.literals.append(float(number))
        return f"l_{len(self.literals) - 1}"

    def number_UnaryOp(self, node):
        text, kind = self.number(node.operand)
        if isinstance(node.op, ast.Not):
            return f"(!{text})", "truth"
        sign = "-" if isinstance(node.op, ast.USub) else "+"
        return f"({sign}{text})", max(kind, "whole", key=NUMBERS.get)

    def number_BinOp(self, node):
        (left, first), (right, second) = self.number(node.left), self.number(node.right)
        kind = max(first, second, "whole", key=NUMBERS.get)
        op = type(node.op)
        if op in OPERATORS:
            return f"({left} {OPERATORS[op]} {right})", kind
        if op is ast.Div:
            return f"((double){left}/(double){right})", "number"
        if op in (ast.BitAnd, ast.BitOr):
            return f"({left} {'&' if op is ast.BitAnd else '|'} {right})", max(first, second, key=NUMBERS.get)
        function = "floor_divide" if op is ast.FloorDiv else "modulo"
        prefix = "" if kind == "number" else "whole_"
        return f"{prefix}{function}({left}, {right})", kind

    def number_Compare(self, node):
        (left, _), (right, _) = self.number(node.left), self.number(node.comparators[0])
        return f"({left} {COMPARISONS[type(node.ops[0])]} {right})", "truth"

    def number_Call(self, node):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        if name == "float":
            return self.literal(float(node.args[0].value))
        if isinstance(node.func, ast.Name) or node.func.value.id != "ops":
            raise NotCompilable(f"{ast.unparse(node.func)}() is written for PyTorch")
        arguments = [self.number(argument) for argument in node.args]
        return number_call(name, [text for text, _ in arguments], [kind for _, kind in arguments])


def number_call(name, texts, kinds):
    """C text and type of an operation on Python numbers."""
    if name in FUNCTIONS:
        return f"{FUNCTIONS[name][0]}((double){texts[0]})", "number"
    rules = {
        "quotient": ("((double){0}/(double){1})", "number"),
        "power": ("pow({0}, {1})", "number"),
        "power_of_numbers": ("pow({0}, {1})", "number"),
        "clip": ("minimum(maximum((double){0}, (double){1}), (double){2})", "number"),
        "int": ("((int64_t){0})", "whole"),
        "floor": ("((int64_t)floor({0}))", "whole"),
        "ceil": ("((int64_t)ceil({0}))", "whole"),
        "timestep": ("((int64_t)(({0} + 1e-3*{1})/{1}))", "whole"),
        "negate": ("(!{0})", "truth"),
        "where": ("({0} ? {1} : {2})", max(kinds[1:], default="number", key=NUMBERS.get)),
        "whole_quotient": ("whole_floor_divide({0}, {1})", "whole"),
        "whole_remainder": ("whole_modulo({0}, {1})", "whole"),
    }
    if name in ("soft", "tensor", "real"):
        return texts[0], kinds[0]
    if name not in rules:
        raise NotCompilable(f"{name}() of numbers")
    text, kind = rules[name]
    return text.format(*texts), kind
