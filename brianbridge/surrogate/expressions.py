"""Render the expressions of one block of a program as Python source."""

import ast
from dataclasses import dataclass, replace

import numpy as np
from brian2.input.timedarray import _find_K
from brian2.parsing.rendering import NodeRenderer

from brianbridge.model.groups import SPIKE_TIMES
from brianbridge.surrogate.operations import ELEMENTWISE

__all__ = ["Code", "Expressions"]

SYMBOLS = NodeRenderer.expression_ops
#: Functions whose values are whole numbers.
WHOLE = ("int", "floor", "ceil", "timestep", "_poisson_quantile")
OTHERS = ("clip", "exprel", *WHOLE)
SINGULAR = ("arccos", "arcsin", "log", "log10", "log1p", "sqrt", "tan")


@dataclass(frozen=True)
class Code:
    """Rendered expression with what is known of its value.

    Attributes
    ----------
    kind : str
        ``'float'``, ``'integer'``, ``'boolean'`` or ``'soft'`` (a boolean as 0 or 1 with a gradient).
    constant : bool
        Depends on parameters only.
    wide : bool
        Computed in float64 even where states are float32.
    number : bool
        A Python number at run time, not a tensor.
    shared : bool
        The same for all elements: in Brian2 not an array.
    full : bool
        A tensor with a value for every trial and element, since some state is in it.
    singular : bool
        May be infinite or not a number where it is not needed (division by a state, for example).
    random : bool
        Random numbers of this very step are in it.
    dimensions : Dimension or None
        Physical dimensions, where they are plain.
    """

    text: str
    kind: str = "float"
    constant: bool = False
    wide: bool = False
    number: bool = False
    shared: bool = False
    full: bool = False
    singular: bool = False
    random: bool = False
    dimensions: object = None


def _number(value):
    """A number as Python source; ``repr`` gives the bare names ``inf`` and ``nan``."""
    return repr(value) if np.isfinite(value) else f"float('{value}')"


class _Leaves(ast.NodeTransformer):
    """Replaces the tensors of an elementwise expression by the parameters of a function."""

    def __init__(self):
        self.found = {}

    def parameter(self, node):
        return ast.Name(self.found.setdefault(ast.unparse(node), f"a{len(self.found)}"), ast.Load())

    def visit_Name(self, node):
        return node if node.id in ("t", "k") else self.parameter(node)

    def visit_Subscript(self, node):
        return self.parameter(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("index_select", "lookup"):
            return self.parameter(node)
        node.args = [self.visit(argument) for argument in node.args]
        return node


class Expressions:
    """Renders the expressions of one block."""

    def __init__(self, renderer, block, number):
        self.renderer, self.block, self.number = renderer, block, number
        self.step = self.step_of(block.dt)
        self.time = self.time_of(block.dt)
        #: some of what is computed is not used: its gradient has to stay zero even where it is singular
        self.unused_branches = block.kind in ("pathway", "reset") or bool(block.gates)
        self.locals = {}
        self.is_one = frozenset()
        self.soft = False

    # -- statements -----------------------------------------------------------------------------------

    def define(self, line, soft=False):
        """A local name: in the prelude where it depends on parameters only."""
        self.soft = soft
        code = self.line_value(line)
        self.soft = False
        if line.operation not in ("=", ":="):
            old = self.locals[line.variable]
            code = self.combine(f"({old.text} {line.operation[:-1]} ({code.text}))", code.kind, old, code)
            code = replace(code, constant=False)
        name = self.renderer.new_name(f"{line.variable}_{self.number}")
        if code.constant and line.operation == ":=":
            code = self.renderer.hoist(code) if not code.text.isidentifier() else code
        else:
            self.renderer.step.append(f"{name} = {code.text}")
            code = replace(code, text=name, constant=False)
        self.locals[line.variable] = code

    def assignment(self, line):
        """Old and new value of what a line writes to."""
        name = self.block.names[line.variable]
        key, old = name.key, self.read_array(name).text
        code = self.line_value(line)
        text, full = code.text, code.full
        if line.operation not in ("=", ":="):
            text, full = f"{old} {line.operation[:-1]} ({text})", True
        elif code.number:
            return old, f"ops.full({text}, {old})"
        shared = self.renderer.program.arrays[key].scalar
        if code.wide or code.kind != "float" or not self.is_float(line.variable) or shared or not full:
            text = f"ops.cast({text}, {old})"
        return old, text

    def write(self, line, value):
        """Statement that stores the new value of a line's variable, which may be a part of an array."""
        name = self.block.names[line.variable]
        target = self.renderer.identifier(name.key)
        if name.index is None:
            return f"{target} = {value}"
        return f"{target} = ops.put({target}, {self.renderer.identifier(name.index)}, {value})"

    def line_value(self, line):
        self.is_one = (
            frozenset(self.block.gates.values()) if line.variable in self.block.frozen else frozenset()
        )
        if line.boolean is not None and line.boolean in self.is_one:
            code = self.render(line.when_true)
        elif line.boolean is not None:
            condition = self.read(line.boolean)
            yes, no = self.render(line.when_true), self.render(line.when_false)
            whether = f"({condition.text} > 0.5)" if condition.kind == "soft" else condition.text
            text = f"ops.where({whether}, {yes.text}, {no.text})"
            code = replace(self.combine(text, "float", condition, yes, no), constant=False, number=False)
        else:
            code = self.render(line.expression)
        code = code if self.is_one else self.guarded(code)
        self.is_one = frozenset()
        return code

    def is_float(self, identifier):
        return self.renderer.program.arrays[self.block.names[identifier].key].kind == "float"

    # -- names ----------------------------------------------------------------------------------------

    def read(self, identifier):
        if identifier in self.locals:
            return self.locals[identifier]
        name = self.block.names.get(identifier)
        if name is None:
            return self.literal(identifier)
        return getattr(self, "read_" + name.kind.replace(" ", "_"))(name)

    def literal(self, identifier):
        values = {
            "True": ("True", "boolean"),
            "False": ("False", "boolean"),
            "inf": (_number(np.inf), "float"),
            "pi": (_number(np.pi), "float"),
            "e": (_number(np.e), "float"),
        }
        text, kind = values[identifier]
        return Code(text, kind, constant=True, number=True, shared=True)

    def read_constant(self, name):
        kind = (
            "boolean"
            if isinstance(name.value, bool)
            else "integer"
            if isinstance(name.value, int)
            else "float"
        )
        return Code(
            _number(name.value), kind, constant=True, number=True, shared=True, dimensions=name.dimensions
        )

    def step_of(self, dt):
        """Number of the step of a clock; it stands at its next step already where it is not its turn."""
        every = self.renderer.program.every(dt)
        if every == 1:
            return "k"
        return (
            f"(k // {every})"
            if self.renderer.program.every(self.block.dt) % every == 0
            else f"(-(-k // {every}))"
        )

    def time_of(self, dt):
        return "t" if self.step_of(dt) == "k" else f"({self.step_of(dt)}*{dt!r})"

    def read_time(self, name):
        return Code(self.time_of(name.value), number=True, shared=True, dimensions=name.dimensions)

    def read_step_size(self, name):
        return Code(repr(name.value), constant=True, number=True, shared=True)

    def read_step_number(self, name):
        return Code(self.step_of(name.value), "integer", number=True, shared=True)

    def read_array(self, name):
        array = self.renderer.program.arrays[name.key]
        text = self.renderer.identifier(name.key)
        code = Code(
            text,
            array.kind,
            constant=array.role != "state",
            wide=name.key.rpartition(".")[2] in SPIKE_TIMES,  # float64 even in float32 training
            shared=array.scalar,
            full=array.role == "state" and not array.scalar,
            dimensions=name.dimensions,
        )
        return code if array.scalar else self.at_index(code, name)

    def read_event(self, name):
        """Whether an event happens in this very step, which may lie between two steps of its group."""
        text, every = self.renderer.event(name.key), self.renderer.program.every(name.value)
        if self.renderer.program.every(self.block.dt) % every:
            text = f"({text} if k % {every} == 0 else torch.zeros_like({text}))"
        return self.at_index(Code(text, full=True), name)

    def at_index(self, code, name):
        """The elements of an array that a name refers to."""
        if name.index is None:
            return code
        index = self.renderer.identifier(name.index)
        code = replace(code, text=f"{code.text}.index_select(-1, {index})")
        return self.renderer.hoist(code) if code.constant else code

    # -- expressions ----------------------------------------------------------------------------------

    def render(self, expression):
        return self.node(ast.parse(expression.strip(), mode="eval").body)

    def node(self, node):
        code = getattr(self, type(node).__name__)(node)
        if code.constant and not isinstance(node, ast.Name | ast.Constant | ast.UnaryOp):
            return self.renderer.hoist(code)
        return code

    def Name(self, node):
        return self.read(node.id)

    def Constant(self, node):
        kind = (
            "boolean"
            if isinstance(node.value, bool)
            else "integer"
            if isinstance(node.value, int)
            else "float"
        )
        return Code(_number(node.value), kind, constant=True, number=True, shared=True)

    def combine(self, text, kind, *parts):
        return Code(
            text,
            kind,
            constant=all(p.constant for p in parts),
            wide=any(p.wide for p in parts),
            number=all(p.number for p in parts),
            shared=all(p.shared for p in parts),
            full=any(p.full for p in parts),
            singular=any(p.singular for p in parts),
            random=any(p.random for p in parts),
        )

    def singular(self, function, *parts):
        """A function that is infinite or not a number somewhere, of something that changes."""
        text = f"{function}({', '.join(p.text for p in parts)})"
        return replace(self.combine(text, "float", *parts), singular=True)

    def guarded(self, code):
        """An expression that may be singular where it is not used: there its gradient must stay zero."""
        if not (code.singular and self.unused_branches) or code.number:
            return code
        leaves = _Leaves()
        body = ast.unparse(leaves.visit(ast.parse(code.text, mode="eval")))
        names, texts = ", ".join(leaves.found.values()), ", ".join(leaves.found)
        return replace(code, text=f"ops.guarded(lambda {names}: {body}, {texts})")

    def BinOp(self, node):
        left, right = self.node(node.left), self.node(node.right)
        operator = type(node.op).__name__
        integers = left.kind != "float" and right.kind != "float" and "soft" not in (left.kind, right.kind)
        if operator == "Pow":
            return self.power(left, right)
        if not integers or operator == "Div":
            left, right = self.as_float(left), self.as_float(right)
        if operator == "Div" and not right.constant and not right.number:
            return self.singular("ops.quotient", left, right)
        if operator == "Div" and not right.number and self.block.kind == "update":
            self.renderer.divisors.append(right.text)
        text = f"({left.text} {SYMBOLS[operator]} {right.text})"
        if operator in ("FloorDiv", "Mod") and integers and not right.number:
            function = {"FloorDiv": "whole_quotient", "Mod": "whole_remainder"}[operator]
            text = f"ops.{function}({left.text}, {right.text})"
        if operator == "Div" and left.number:
            text = f"ops.quotient({left.text}, {right.text})"
        integers = integers and operator != "Div"
        code = self.combine(text, "integer" if integers else "float", left, right)
        if operator in ("Add", "Sub"):
            code = replace(code, dimensions=left.dimensions or right.dimensions)
        return code

    def power(self, base, exponent):
        base, exponent = self.as_float(base), self.as_float(exponent)
        code = self.combine("", "float", base, exponent)
        function = "ops.power_of_numbers" if code.shared and not code.number else "ops.power"
        return replace(code, text=f"{function}({base.text}, {exponent.text})", singular=not code.constant)

    def as_float(self, code):
        """Integers and booleans in floating point: torch would take float32 where a Python number follows."""
        if code.kind not in ("integer", "boolean") or code.number:
            return code
        return replace(code, text=f"ops.real({code.text})", kind="float")

    def UnaryOp(self, node):
        operand = self.node(node.operand)
        if isinstance(node.op, ast.Not):
            if operand.kind == "soft" or (self.soft and not operand.constant):
                return self.combine(f"(1 - ops.soft({operand.text}))", "soft", operand)
            return self.combine(f"ops.negate({operand.text})", "boolean", operand)
        text = f"({SYMBOLS[type(node.op).__name__]}{operand.text})"
        return replace(self.combine(text, operand.kind, operand), dimensions=operand.dimensions)

    def Compare(self, node):
        left, right = self.node(node.left), self.node(node.comparators[0])
        operator = SYMBOLS[type(node.ops[0]).__name__]
        float_ = "float" in (left.kind, right.kind)
        if float_:
            left, right = self.as_float(left), self.as_float(right)
        both = self.combine(f"({left.text} {operator} {right.text})", "boolean", left, right)
        graded = self.soft and float_ and not both.constant and not both.random  # of chance, no gradient
        if graded and operator in ("<", "<=", ">", ">="):
            key = (self.block.event, len(self.renderer.comparisons))
            self.renderer.comparisons[key] = (self.block.group, left.dimensions or right.dimensions)
            text = f"ops.compare({left.text}, {right.text}, {operator!r}, G[{key!r}])"
            return replace(both, kind="soft", text=text, number=False)
        return both

    def BoolOp(self, node):
        parts = [self.node(value) for value in node.values]
        if any(part.kind == "soft" for part in parts):
            factors = [f"ops.soft({part.text})" for part in parts]
            text = factors[0]
            for factor in factors[1:]:
                text = (
                    f"{text}*{factor}"
                    if isinstance(node.op, ast.And)
                    else f"({text} + {factor} - {text}*{factor})"
                )
            return self.combine(f"({text})", "soft", *parts)
        sign = " & " if isinstance(node.op, ast.And) else " | "
        return self.combine("(" + sign.join(part.text for part in parts) + ")", "boolean", *parts)

    def Call(self, node):
        name = node.func.id
        meaning = self.block.names.get(name)
        if meaning is not None and meaning.kind == "random":
            return self.random(meaning)
        if name == "int" and isinstance(node.args[0], ast.Name) and node.args[0].id in self.is_one:
            return Code("1", "integer", constant=True, number=True)
        arguments = [self.node(argument) for argument in node.args]
        if meaning is not None and meaning.kind == "timed input":
            return self.timed_input(meaning.key, arguments)
        known = name in ELEMENTWISE or name in OTHERS
        function = f"ops.{name.strip('_')}" if known else f"user[{name!r}]"
        if not known:
            arguments = [replace(a, text=f"ops.tensor({a.text})") if a.number else a for a in arguments]
        if not (known and name not in SINGULAR) and not all(a.constant for a in arguments):
            code = self.singular(function, *arguments)
            return code if known else replace(code, constant=False, number=False)
        kind = "integer" if name in WHOLE else "float"
        code = self.combine(f"{function}({', '.join(a.text for a in arguments)})", kind, *arguments)
        if name in WHOLE:
            return replace(code, wide=False)
        return code if known else replace(code, constant=False, number=False)

    def random(self, name):
        key = f"{self.block.name}/{name.value}"
        self.renderer.noise[key] = (name.key, 1 if name.shared else self.block.size, self.block.name)
        return Code(f"N[{key!r}][{self.step}]", full=True, random=True)

    def timed_input(self, key, arguments):
        timed = self.renderer.program.inputs[key]
        upsampling = _find_K(self.block.group_dt, timed.dt)
        columns = ""
        if len(arguments) == 2:
            index = arguments[1]
            columns = replace(index, text=f"ops.columns({index.text})")
            columns = ", " + (self.renderer.hoist(columns) if index.constant else columns).text
        text = f"ops.lookup(X[{key!r}], {arguments[0].text}, {timed.dt!r}, {upsampling}{columns})"
        return Code(text, shared=all(a.shared for a in arguments), full=any(a.full for a in arguments))
