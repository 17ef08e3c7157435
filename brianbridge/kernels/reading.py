"""Read the generated step, line by line, as the bodies of loops.

Lines share a loop as long as the elements do not see each other's results: the step is written for whole
arrays, of which each line is finished before the next one begins.
"""

import ast

import numpy as np

from brianbridge.kernels.reading_expressions import ExpressionReader, is_gather
from brianbridge.kernels.values import WEAK, Body, Effect, NotCompilable

__all__ = ["Reader"]

RECORDED = {"truth": "bool", "whole": "long", "number": "wide"}


class Reader(ExpressionReader):
    """Reads one part of a step.

    Parameters
    ----------
    part : Part
    tables : Tables
        What the names of the step stand for.

    Attributes
    ----------
    bodies : list of Body
    """

    def __init__(self, part, tables):
        self.part, self.tables = part, tables
        self.by_events = part.block.kind == "pathway"
        self.takes_turns = bool(part.block.turns)
        self.bodies = [Body()]
        self.locals = {}  # name to (Body, Value), or to the ast node of a number
        self.present = {}  # (array, how) to its value at this place of the body
        self.reads, self.writes = {}, {}  # array to the ways in which this body reads and writes it
        for statement in ast.parse("\n".join(part.lines)).body:
            self.statement(statement)

    @property
    def body(self):
        return self.bodies[-1]

    # -- loops ----------------------------------------------------------------------------------------

    def split(self, shared):
        """Begin another loop, in which all that was written before can be seen."""
        if not (self.body.values or self.body.effects):
            self.body.shared = shared
            return
        self.bodies.append(Body(shared=shared))
        self.present, self.reads, self.writes = {}, {}, {}

    def enter(self, node, shared=False, writes=None):
        """Make sure that a line's expressions can be evaluated in the present loop.

        Of a line that changes the targets of events, `writes` says what it changes, and how: nothing could
        carry its value to another loop.
        """
        shared = shared and not self.by_events
        used = [*self.memory_reads(node), *([writes] if writes and self.by_events else [])]
        clash = any(self.meet(how, written) for array, how in used for written in self.writes.get(array, ()))
        if clash or shared != self.body.shared:
            self.split(shared)
        for array, how in self.memory_reads(node):
            self.reads.setdefault(array, set()).add(how)

    def meet(self, how, other):
        """Whether two ways to reach an element of an array can lead to the same one."""
        if how == other:
            return False
        if self.takes_turns and how[0] == other[0] == "at":  # the synapses before have had their turn
            return bool(np.any(self.tables.index_values(how[1]) == self.tables.index_values(other[1])))
        return True

    def write(self, array, how, value, cleared=None):
        """Note that a line writes; its value is carried into another loop if it has to be."""
        reads, writes = self.reads.get(array, set()), self.writes.get(array, set())
        clash = reads if how[0] == "many" else reads - {how}
        if self.by_events:
            if clash and not self.takes_turns:
                self.read_copy(array)
        elif clash or writes - {how} or (cleared and writes):
            before = self.body
            self.split(before.shared)
            value = self.carried(before, value)
        self.writes.setdefault(array, set()).add(how)
        if cleared:
            self.body.cleared.append((self.tables.symbol(array), *cleared))
        return value

    def read_copy(self, name):
        """Let what this loop has read of an array be from a copy: events do not see each other's results."""
        array = self.tables.symbol(name)
        if array in self.body.copies.values():
            return
        copy = self.tables.copy(array)
        self.body.copies[copy] = array
        for value in self.body.values:
            if value.symbol == array:
                value.symbol = copy
        self.body.known = {key: v for key, v in self.body.known.items() if v.symbol != copy}

    def carried(self, body, value):
        """A value of an earlier loop, by way of an array."""
        if value.type in WEAK or value.op == "mask":
            return self.body.value(value.op, value.type, symbol=value.symbol, varied=value.varied)
        if self.by_events:
            raise NotCompilable(f"{self.part.block.name} goes on with a value from before its changes")
        array = self.tables.temporary(self.part, body, value)
        if body.stored(array) is None:
            body.effects.append(Effect("store", array, value))
        op = "shared" if body.shared or self.body.shared else "own"
        return self.body.value(op, value.type, symbol=array, varied=value.varied)

    def memory_reads(self, node):
        """Arrays that change, as an expression reads them: pairs (array, how)."""
        found, inside = [], set()
        for part in ast.walk(node):
            if is_gather(part) and isinstance(part.func.value, ast.Name):
                array, index = part.func.value.id, ast.unparse(part.args[1])
                inside |= {id(part.func.value)}
                if self.tables.changes(array):
                    found.append((array, ("at", index)))
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and id(part) not in inside and self.tables.changes(part.id):
                found.append((part.id, ("shared",) if self.tables.is_shared(part.id) else ("own",)))
        return found

    def is_shared(self, node):
        """Whether an expression is one for the whole group."""
        for part in ast.walk(node):
            if is_gather(part) or isinstance(part, ast.Subscript):
                return False
            if isinstance(part, ast.Call) and getattr(part.func, "attr", "") == "lookup":
                return False
            if isinstance(part, ast.Name) and part.id in self.locals:
                local = self.locals[part.id]
                if isinstance(local, tuple) and not local[0].shared:
                    return False
            elif isinstance(part, ast.Name) and not self.tables.is_shared(part.id):
                return False
        return True

    def is_number(self, node):
        """Whether an expression is a number of Python's: of the step's time and constants only."""
        return all(
            part.id in ("t", "k", "ops", "float", "int")
            or isinstance(self.locals.get(part.id), ast.AST)
            or self.tables.is_number(part.id)
            for part in ast.walk(node)
            if isinstance(part, ast.Name)
        ) and not any(isinstance(part, ast.Subscript | ast.Lambda) for part in ast.walk(node))

    # -- statements -----------------------------------------------------------------------------------

    def statement(self, node):
        if isinstance(node, ast.Expr):  # O[j].append(x)
            call = node.value
            self.enter(call.args[0])
            value, output = self.expression(call.args[0]), call.func.value.slice.value
            value = self.cast(value, RECORDED.get(value.type, value.type))
            self.tables.output_types[output] = value.type
            if value.differentiable:
                self.tables.varied.add(f"o_{output}")
            self.body.effects.append(Effect("record", str(output), value))
        elif isinstance(node, ast.For):  # for mask in ops.in_turn(mask, turns)
            for line in node.body:
                self.statement(line)
        elif isinstance(node, ast.Assign):
            self.assignment(node.targets[0].id, node.value)
        else:
            raise NotCompilable(f"{type(node).__name__} in {self.part.block.name}")

    def assignment(self, name, node):
        called = node.func.attr if _is_operation(node) else ""
        if called == "arrived":
            varied = self.tables.varies(self.tables.event(self.part.block.event))
            self.locals[name] = self.body, self.body.value("mask", "real", varied=varied)
        elif called == "also_arrived" or isinstance(node, ast.Tuple) or _is_slice(node):
            pass  # the events of past steps, which the kernel keeps in its own way
        elif called == "event":
            self.event(name, node.args[0])
        elif hasattr(self, f"into_{called}"):
            getattr(self, f"into_{called}")(name, *node.args[1:])
        elif name in self.tables.states:
            self.store(name, node)
        elif self.is_number(node):
            self.locals[name] = node
        else:
            self.enter(node, self.is_shared(node))
            self.locals[name] = self.body, self.expression(node)

    def store(self, name, node):
        shared = self.tables.is_shared(name)
        self.enter(node, shared)
        how = ("shared",) if shared else ("own",)
        value = self.cast(self.expression(node), self.tables.type(name))
        value = self.write(name, how, value)
        array = self.tables.symbol(name)
        self.present[name, how] = value
        self.body.effects = [e for e in self.body.effects if (e.kind, e.array) != ("store", array)]
        self.body.effects.append(Effect("store", array, value))

    def event(self, name, condition):
        self.enter(condition)
        value = self.write(name, ("own",), self.cast(self.expression(condition), "real"))
        self.present[name, ("own",)] = value
        self.body.effects.append(Effect("event", self.tables.symbol(name), value))

    def into_put(self, name, index, node):
        self.enter(node)
        how = ("at", ast.unparse(index))
        value = self.write(name, how, self.cast(self.expression(node), self.tables.type(name)))
        self.put(name, index, value)

    def put(self, name, index, value):
        array, place = self.tables.symbol(name), self.tables.index(ast.unparse(index))
        self.present[name, ("at", ast.unparse(index))] = value
        self.body.effects = [
            e for e in self.body.effects if (e.kind, e.array, e.index) != ("put", array, place)
        ]
        self.effect("put", name, index, value)

    def put_in_turn(self, name, index, node, text):
        """A change of a neuron's variable that the next synapse sees, given as text."""
        texts = {"old": f"{name}.index_select(-1, {ast.unparse(index)})", "value": f"({ast.unparse(node)})"}
        self.into_put(name, index, ast.parse(text.format_map(texts), mode="eval").body)

    def into_add_at(self, name, index, order, node):
        if self.takes_turns:
            return self.put_in_turn(name, index, node, "{old} + {value}.to({old}.dtype)")
        how = ("many", "add")
        self.enter(node, writes=(name, how))
        value = self.cast(self.expression(node), self.tables.type(name))
        self.effect("add", name, index, self.write(name, how, value))

    def into_multiply_at(self, name, index, order, mask, node):
        if self.takes_turns:
            factor = f"ops.select({ast.unparse(mask)}, {{value}}, ops.cast(1, {{old}}))"
            return self.put_in_turn(name, index, node, f"{{old}}*{factor}")
        how = ("many", "multiply")
        self.enter(ast.Tuple([mask, node]), writes=(name, how))
        mask, factor = self.expression(mask), self.expression(node)
        factor = self.body.value("select", self.tables.type(name), mask, factor, self.number("1"))
        self.effect("multiply", name, index, self.write(name, how, factor))

    def into_assign_at(self, name, index, mask, node):
        if self.takes_turns:
            return self.put_in_turn(name, index, node, f"ops.select({ast.unparse(mask)}, {{value}}, {{old}})")
        how = ("many", "assign", ast.unparse(index), ast.unparse(node))
        self.enter(ast.Tuple([mask, node]), writes=(name, how))
        mask, value = self.expression(mask), self.cast(self.expression(node), self.tables.type(name))
        value = self.write(name, how, value)
        if not mask.varied:
            return self.effect("assign", name, index, value, mask)
        # one after the other: only the first event changes a value, and only the last one has a gradient
        self.body.in_turn = True
        old = self.leaf("at", name, self.tables.index(ast.unparse(index)))
        self.put(name, index, self.select(mask, value, old))

    def into_sum_at(self, name, index, node, start, stop):
        self.enter(node)
        value = self.cast(self.expression(node), self.tables.type(name))
        value = self.write(name, ("many", "add"), value, (start.value, stop.value))
        self.effect("add", name, index, value)

    def effect(self, kind, name, index, value, mask=None):
        index = self.tables.index(ast.unparse(index))
        self.body.effects.append(Effect(kind, self.tables.symbol(name), value, index, mask))


def _is_operation(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith("ops.")


def _is_slice(node):
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
