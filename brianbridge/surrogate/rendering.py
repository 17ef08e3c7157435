"""Render a `Program` as the Python source of one time step.

Two functions are made: ``prelude``, everything that depends on parameters only and is computed once (in
float64), and ``step``, one time step of the whole network in Brian2's schedule order.
"""

import keyword
import re
from dataclasses import dataclass, replace

from brian2.utils.stringtools import get_identifiers

from brianbridge.generation.program import Block
from brianbridge.surrogate.expressions import Expressions

__all__ = ["Part", "Rendered", "render"]


@dataclass(frozen=True)
class Part:
    """The lines of one object of the schedule, or of one record.

    Attributes
    ----------
    block : Block
    every : int
        Number of steps from one turn to the next.
    lines : tuple of str
    """

    block: Block
    every: int
    lines: tuple


@dataclass(frozen=True)
class Rendered:
    """Source of a time step.

    Attributes
    ----------
    source : str
        Python text that defines ``prelude(P, ops)`` and ``step(S, C, t, k, X, N, G, O)``.
    parts : tuple of Part
        The lines of the step.
    constants : tuple of str
        Names in ``C``: what the prelude returns.
    identifiers : dict of str to str
        Names of arrays and events in the source, by key.
    states : tuple of str
        Keys of the state arrays, in the order of ``S``.
    parameters : tuple of str
        Keys of the arrays in ``P``.
    routing_keys : tuple of str
        ``'order NAME'``, ``'delays NAME'`` and ``'turns NAME'`` of the pathways, also in ``P``.
    events : tuple of str
        Events whose present value is part of ``S``, after the arrays.
    pathways : tuple of (str, str, int)
        Name, event and number of past steps that each delayed pathway remembers, after the events in ``S``.
    noise : dict of str to (str, int, str)
        Places that draw random numbers: function, size of the array, and the runner that draws.
    comparisons : dict of (str, int) to (str, Dimension or None)
        Keys of ``G``: the comparisons in thresholds, with the group and the dimensions of what they compare.
    divisors : frozenset of str
        Constants by which integrators divide: exact integration is singular where one is zero.
    """

    source: str
    parts: tuple
    constants: tuple
    identifiers: dict
    states: tuple
    parameters: tuple
    routing_keys: tuple
    events: tuple
    pathways: tuple
    noise: dict
    comparisons: dict
    divisors: frozenset


def render(program):
    """Render a program.

    Parameters
    ----------
    program : Program

    Returns
    -------
    Rendered
    """
    return _Renderer(program).rendered()


class _Renderer:
    """State of one rendering: identifiers, prelude lines, step lines."""

    def __init__(self, program):
        self.program = program
        self.identifiers = {}
        self.used = {"prelude", "step", "ops", "user", "torch", "int", "float", *"PSCtkXNGO"}
        self.prelude, self.step, self.parts = [], [], []
        self.hoisted = {}
        self.noise = {}
        self.comparisons = {}
        self.divisors = []
        self.pathways = []
        self.routing_keys = []

    def rendered(self):
        records, row = {}, 0  # by place; `row` numbers the outputs of all records
        for number, record in enumerate(self.program.records):
            records.setdefault(record.place, []).append((number, record, row))
            row += len(record.outputs)
        for number in range(len(self.program.blocks) + 1):
            for record in records.get(number, ()):
                self._record(*record)
            if number < len(self.program.blocks):
                self._block(number, self.program.blocks[number])
        return self._assemble()

    # -- identifiers ----------------------------------------------------------------------------------

    def identifier(self, key):
        """A readable Python identifier for ``group.variable``."""
        if key not in self.identifiers:
            self.identifiers[key] = self.new_name(key)
        return self.identifiers[key]

    def new_name(self, text):
        """A Python identifier like `text` that is not in use yet."""
        name = re.sub(r"\W", "_", text).strip("_") or "x"
        while keyword.iskeyword(name) or name in self.used or re.fullmatch(r"c\d+", name):
            name += "_"
        self.used.add(name)
        return name

    def event(self, key):
        return self.identifier(f"spikes {key}")

    def routing_table(self, key):
        """Identifier of an array that describes the routing of a pathway, not the network's state."""
        if key not in self.routing_keys:
            self.routing_keys.append(key)
        return self.identifier(key)

    def hoist(self, code):
        """Move a time-invariant expression into the prelude; the same expression is computed once."""
        if code.text not in self.hoisted:
            name = f"c{len(self.hoisted)}"
            self.hoisted[code.text] = name
            self.prelude.append(f"{name} = {code.text}")
        return replace(code, text=self.hoisted[code.text])

    # -- blocks ---------------------------------------------------------------------------------------

    def _block(self, number, block):
        getattr(self, f"_{block.kind}")(block, Expressions(self, block, number))
        self._finish(block, self.program.every(block.dt))

    def _finish(self, block, every):
        """Make a part of the lines written so far."""
        self.parts.append(Part(block, every, tuple(self.step)))
        self.step = []

    def _update(self, block, expressions):
        for line in block.lines:
            name = block.names.get(line.variable)
            if name is None:
                expressions.define(line)
                continue
            old, value = expressions.assignment(line)
            if line.variable in block.gates:
                gate = expressions.read(block.gates[line.variable])
                value = f"ops.where({gate.text}, {value}, {old})"
            self.step.append(expressions.write(line, value))

    def _generator(self, block, expressions):
        event = self.event(block.event)
        self.step.append(f"{event} = ops.event(X[{'spikes ' + block.event!r}][{expressions.step}], {event})")

    def _threshold(self, block, expressions):
        for line in block.lines:
            expressions.define(line, soft=line.kind == "boolean")
        event = self.event(block.event)
        condition = expressions.locals["_cond"]
        self.step.append(f"{event} = ops.event({condition.text}, {event})")
        if block.sets_refractory:
            free = self.identifier(f"{block.group}.not_refractory")
            last = self.identifier(f"{block.group}.lastspike")
            self.step.append(f"{free} = {free} & ({event} < 0.5)")
            self.step.append(f"{last} = torch.where({event} > 0.5, {expressions.time}, {last})")

    def _reset(self, block, expressions):
        mask = self.event(block.event)
        for line in block.lines:
            if line.variable not in block.names:
                expressions.define(line)
                continue
            old, value = expressions.assignment(line)
            operation = "reset" if line.variable in self._deciding(block.event) else "select"
            self.step.append(expressions.write(line, f"ops.{operation}({mask}, {value}, {old})"))

    def _deciding(self, event):
        """Variables that an event's condition reads: the reset of these can be kept from the gradient."""
        thresholds = (b for b in self.program.blocks if b.kind == "threshold" and b.event == event)
        return {name for b in thresholds for line in b.lines for name in get_identifiers(line.expression)}

    def _pathway(self, block, expressions):
        mask = self.new_name(f"arrived_{expressions.number}")
        sources = self.identifier(block.sources)
        event, longest = self.event(block.event), int(block.delays.max())
        seen = f"({event},)"
        if longest:
            past = self.identifier(f"past {block.name}")
            self.pathways.append((block.name, block.event, longest))
            seen = self.new_name(f"seen_{expressions.number}")
            self.step.append(f"{seen} = ({event}, *{past})")
            self.step.append(f"{past} = {seen}[:-1]")
        one = len(block.delays) == 1
        delays = int(block.delays[0]) if one else self.routing_table(f"delays {block.name}")
        self.step.append(f"{mask} = ops.arrived({seen}, {delays}, {sources})")
        if len(block.under_way):
            under_way = f"X[{'under way ' + block.name!r}].get({expressions.step})"
            self.step.append(f"{mask} = ops.also_arrived({mask}, {under_way}, {block.name!r})")
        if block.turns:
            turns = self.routing_table(f"turns {block.name}")
            self.step.append(f"for {mask} in ops.in_turn({mask}, {turns}):")
        first = len(self.step)
        for line in block.lines:
            self._pathway_line(block, expressions, line, mask)
        if block.turns:
            self.step[first:] = [f"    {line}" for line in self.step[first:]]

    def _pathway_line(self, block, expressions, line, mask):
        name = block.names.get(line.variable)
        if name is None:
            expressions.define(line)
            return
        if name.index is not None:
            self._line_at(block, expressions, line, mask)
            return
        target, value = expressions.assignment(line)  # a synapse's own variable: the whole array
        if line.variable == "lastupdate" or (
            line.variable in block.decays and line.expression.strip() == f"_{line.variable}"
        ):
            self.step.append(f"{target} = ops.decay({mask}, {value}, {target})")
        elif line.operation in ("+=", "-=") and expressions.is_float(line.variable):
            code = expressions.guarded(expressions.render(line.expression))
            change = masked(mask, code)
            change = f"({change}).to({target}.dtype)" if code.wide else change
            self.step.append(f"{target} = {target} {line.operation[0]} {change}")
        else:
            self.step.append(f"{target} = ops.select({mask}, {value}, {target})")

    def _line_at(self, block, expressions, line, mask):
        """A line that writes to a pre- or postsynaptic neuron's variable."""
        name = block.names[line.variable]
        target, index = self.identifier(name.key), self.identifier(name.index)
        if line.variable in block.gates:
            gate = expressions.read(block.gates[line.variable])
            mask = f"({mask}*ops.soft({gate.text}))"
        value = expressions.guarded(expressions.render(line.expression))
        order = self.routing_table(f"order {block.name}")
        if line.operation in ("+=", "-="):
            sign = "-" if line.operation == "-=" else ""
            change = masked(mask, value)
            self.step.append(f"{target} = ops.add_at({target}, {index}, {order}, {sign}({change}))")
        elif line.operation in ("*=", "/="):
            factor = f"1/({value.text})" if line.operation == "/=" else value.text
            self.step.append(f"{target} = ops.multiply_at({target}, {index}, {order}, {mask}, {factor})")
        else:
            self.step.append(f"{target} = ops.assign_at({target}, {index}, {mask}, {value.text})")

    def _summed(self, block, expressions):
        for line in block.lines:
            expressions.define(line)
        target, index = self.identifier(block.target), self.identifier(block.target_index)
        value = expressions.locals["_synaptic_var"].text
        start, stop = block.target_range
        self.step.append(f"{target} = ops.sum_at({target}, {index}, {value}, {start}, {stop})")

    def _record(self, number, record, row):
        expressions = Expressions(self, record.block, f"record{number}")
        for line in record.block.lines:
            expressions.define(line)
        for offset, output in enumerate(record.outputs):
            self.step.append(f"O[{row + offset}].append({expressions.locals[output].text})")
        self._finish(record.block, record.every)

    # -- assembly -------------------------------------------------------------------------------------

    def _assemble(self):
        arrays = self.program.arrays
        states = tuple(key for key in arrays if arrays[key].role == "state" and key in self.identifiers)
        parameters = tuple(key for key in arrays if arrays[key].role != "state" and key in self.identifiers)
        events = tuple(key for key in self.program.events if f"spikes {key}" in self.identifiers)
        given = (*parameters, *self.routing_keys)
        kept = (*map(self.identifier, given), *self.hoisted.values())
        carried = [self.identifier(key) for key in states] + [self.event(key) for key in events]
        carried += [self.identifier(f"past {name}") for name, _, _ in self.pathways]
        unpack = lambda names: f"({', '.join(names)}{',' if names else ''})"  # noqa: E731
        lines = ["def prelude(P, ops):"]
        lines += [f"    {self.identifier(key)} = P[{key!r}]" for key in given]
        lines += [f"    {line}" for line in self.prelude]
        lines += [f"    return {unpack(kept)}", ""]
        lines += ["def step(S, C, t, k, X, N, G, O):"]
        lines += [f"    {unpack(kept)} = C"] if kept else []
        lines += [f"    {unpack(carried)} = S"] if carried else []
        lines += [f"    {line}" for part in self.parts for line in _lines_in_turn(part)]
        lines += [f"    return {unpack(carried)}"]
        return Rendered(
            "\n".join(lines) + "\n",
            tuple(self.parts),
            kept,
            self.identifiers,
            states,
            parameters,
            tuple(self.routing_keys),
            events,
            tuple(self.pathways),
            self.noise,
            self.comparisons,
            frozenset(self.divisors),
        )


def _lines_in_turn(part):
    """Lines of a part under its name, and under a condition if they are not for every step."""
    heading = f"# {part.block.name} ({part.block.slot}, order {part.block.order})"
    yield " ".join(heading.split())  # one line, whatever a file calls its slots
    if part.every > 1:
        yield f"if k % {part.every} == 0:"
    for line in part.lines:
        yield f"    {line}" if part.every > 1 else line


def masked(mask, code):
    """A summand that counts only where an event is; multiplied where that cannot give 0*inf."""
    return f"ops.masked({mask}, {code.text})" if code.singular else f"{mask}*({code.text})"
