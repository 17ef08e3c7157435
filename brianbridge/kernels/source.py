"""Write a whole kernel in C: the step, its adjoint, and the loops around them."""

from dataclasses import dataclass
from importlib import resources

from brianbridge.kernels.element_loops import ElementLoops
from brianbridge.kernels.filter_loops import FilterLoops
from brianbridge.kernels.filters import filters_of
from brianbridge.kernels.loops import Adjoints, dependencies, reverse_of
from brianbridge.kernels.matrix_loops import MatrixLoops
from brianbridge.kernels.mixed_delay_loops import MixedDelayLoops
from brianbridge.kernels.reading import Reader
from brianbridge.kernels.sorted_synapses import arranged, sorted_groups_of
from brianbridge.kernels.tape import taped_of

__all__ = ["TRIALS_TOGETHER", "Source", "write_source"]

_FILES = resources.files("brianbridge.kernels").joinpath("runtime")
PARTS = "memory.c", "arithmetic.c", "products.c", "filters.c", "trials.c"
TRIALS_TOGETHER = 10  # trials that a thread takes together where they share rows of a grid


@dataclass(frozen=True)
class Source:
    """A kernel in C.

    Attributes
    ----------
    text : str
    tables : Tables
        The numbers by which the text refers to arrays.
    taped : tuple of str
        Arrays that a step puts on the tape, as often as it does.
    at_event : dict of str to tuple of str
        By the name of the pathway: arrays of which each event puts an element on the tape, at every synapse.
    at_reset : tuple of (str, str)
        Events and arrays of which each event puts the element of its own neuron on the tape.
    passes : frozenset of (str, str)
        Pairs of arrays: a gradient passes from the first to the second.
    arranged : dict of (str, str or int) to SortedSynapses
        What the kernel wants in another order, see `sorted_synapses.arranged`.
    fan_outs : dict of str to FanOut
        By the name of the pathway.
    filters : int
        Linear filters among the synapses' states.
    """

    text: str
    tables: object
    taped: tuple
    at_event: dict
    at_reset: tuple
    passes: frozenset
    arranged: dict
    fan_outs: dict
    filters: int

    def reached(self, symbols):
        """All that a gradient reaches from some outputs."""
        reached, before = set(symbols), None
        while reached != before:
            before = set(reached)
            reached |= {second for first, second in self.passes if first in before}
        return reached


def write_source(tables, routes):
    """Write the kernel of a step.

    Parameters
    ----------
    tables : Tables
    routes : dict of str to Route
        By the name of the pathway.

    Returns
    -------
    Source

    Raises
    ------
    NotCompilable
        If something in the step has no counterpart in C.
    """
    parts = tables.rendered.parts
    read = _until_settled(tables)
    tables.sorted_groups = sorted_groups_of(read, tables)
    adjoints = _adjoints(parts, read)
    filters = filters_of(read, tables)
    filtered = {id(body): made for made in filters for body in made.bodies}
    writer = _Parts(tables, routes, adjoints, taped_of(parts, read, adjoints, filtered), filtered)
    functions = [writer.part(number, part, read[number]) for number, part in enumerate(parts)]
    sums, flush = writer.fan_out_functions()
    text = "\n".join(
        [
            f"typedef {'float' if tables.is_single else 'double'} real;",
            f"#define SINGLE {int(tables.is_single)}",
            "#include <tgmath.h>",
            f"#define TRIALS_TOGETHER {TRIALS_TOGETHER}",
            f"#define PRODUCTS {len(writer.products) + 1}",
            f"#define FILTERS {len(filters) + 1}",
            *(_FILES.joinpath(name).read_text() for name in PARTS),
            *sums,
            *functions,
            writer.filter_functions(),
            f"int64_t forward_ticks[{len(parts)}], backward_ticks[{len(parts)}];",
            writer.steps("forward", parts),
            writer.steps("backward", parts),
            writer.finish(),
            flush,
            writer.buffer(),
        ]
    )
    passes = _passes(tables, read)
    fan_outs = {name: fan_out for name, (fan_out, *_) in writer.fan_outs.items()}
    at_event = {}
    for (pathway, _), arrays in writer.at_event.items():
        at_event[pathway] = (*at_event.get(pathway, ()), *arrays)
    return Source(
        text,
        tables,
        tuple(writer.pushed),
        at_event,
        tuple(writer.pushed_at_events),
        passes,
        arranged(read, tables),
        fan_outs,
        len(filters),
    )


def _until_settled(tables):
    """The bodies of all parts, once it is known which arrays depend on what a gradient is wanted of."""
    while True:
        before = set(tables.varied)
        read = [Reader(part, tables).bodies for part in tables.rendered.parts]
        for bodies in read:
            for body in bodies:
                for effect in body.effects:
                    mask = effect.mask is not None and effect.mask.varied
                    if effect.kind != "record" and (effect.value.differentiable or mask):
                        tables.varied.add(effect.array)
        if tables.varied == before:
            return read
        tables.temporaries.clear()


def _adjoints(parts, read):
    """Adjoints of every body, by its identity."""
    adjoints = {}
    for part, bodies in zip(parts, read, strict=True):
        for body in bodies:
            to_event = reverse_of(body, only_mask=True) if part.block.kind == "pathway" else None
            adjoints[id(body)] = Adjoints(reverse_of(body), to_event)
    return adjoints


def _passes(tables, read):
    """Pairs of arrays: a gradient passes from the first to the second."""
    pairs = set()
    for part, bodies in zip(tables.rendered.parts, read, strict=True):
        for body in bodies:
            pairs |= set(body.copies.items())
            for array, symbol in dependencies(body):
                pairs.add((array, tables.event(part.block.event) if symbol == "mask" else symbol))
    return frozenset(pairs)


class _Parts(ElementLoops, MixedDelayLoops, MatrixLoops, FilterLoops):
    """Writes the functions that take a part of the step, and take it back."""

    def part(self, number, part, bodies):
        """C functions that take one part of the step, and take it back."""
        functions = self.directions(number, self.loops(number, part, bodies))
        if _has_events_under_way(part):
            functions += self.directions(f"{number}_under_way", self.under_way_loops(part, bodies))
        return "\n".join([f"/* {_comment(part.block.name)} */", *functions])

    def loops(self, number, part, bodies):
        """Blocks of every loop of a part: forward and back."""
        if part.block.turns:
            return [self.in_turn(part, bodies)]
        return [self.around(number, part, body) for body in bodies]

    def around(self, number, part, body):
        """Blocks of the loop around a body."""
        if id(body) in self.filters:
            return self.filter_blocks(part, body)
        by_events = part.block.kind == "pathway"
        grid = self.grid_of(part, body)
        if grid is not None:
            return (self.grid_events if by_events else self.grid_sums)(number, part, body, grid)
        if body.in_turn:
            return self.in_turn(part, [body])
        forward, backward = (self.events if by_events else self.elements)(number, part, body)
        return [("", forward)], [("", backward)]

    def under_way_loops(self, part, bodies):
        """The same for a step in which events arrive that were under way at the start."""
        together, pushed = [bodies] if part.block.turns else [[body] for body in bodies], self.pushed
        loops = [self.in_turn(part, some, under_way=True) for some in together]
        self.pushed = pushed  # only a few steps are of this kind
        return loops

    def directions(self, name, loops):
        forward = [self.block(*block) for blocks, _ in loops for block in blocks]
        backward = [self.block(*block) for _, blocks in reversed(loops) for block in blocks]
        return [self.function(f"forward_{name}", forward), self.function(f"backward_{name}", backward)]

    def function(self, name, blocks):
        return "\n".join([f"static void {name}(Work *lanes, int64_t count, int64_t k) {{", *blocks, "}"])

    def block(self, rows, lines):
        """Lines for every trial, after the pointers that they use; and for every row of a grid.

        All trials take a row together, while it is in the cache.
        """
        if not lines:
            return ""
        text = "\n".join(lines)
        loops = [f"for (int64_t row = 0; row < {rows}; ++row)"] if rows else []
        loops += ["for (int64_t m = 0; m < count; ++m) {", "Work *w = lanes + m; const Problem *p = w->p;"]
        return "\n".join([*loops, *self.pointers(text), text, "}"])

    def steps(self, direction, parts):
        """The whole step: parts in order, or in reverse."""
        calls = []
        for number, part in enumerate(parts):
            condition = f"if (k % {part.every} == 0) " if part.every > 1 else ""
            name = f"{direction}_{number}"
            if _has_events_under_way(part):
                name = f"(any_under_way({self.under_way_arguments(part)}) ? {name}_under_way : {name})"
            call = f"{name}(lanes, count, k)"
            calls.append(f"  {condition}TIMED({direction}_ticks[{number}], {call});")
        calls = calls if direction == "forward" else calls[::-1]
        return "\n".join(
            [f"static void step_{direction}(Work *lanes, int64_t count, int64_t k) {{", *calls, "}"]
        )

    def buffer(self):
        """C functions that tell how many buffers a worker needs, and how long they are."""
        parts = len(self.tables.rendered.parts)
        grids = dict.fromkeys(grid for _, grid in self.tables.grid_constants)
        sizes = [self.whole(size) for grid in grids for size in (grid.rows, grid.columns)]
        return "\n".join(
            [
                "static int64_t buffer_length(const Problem *p) {",
                "  int64_t n = CHUNK;",
                f"  for (int64_t j = 0; j < {parts}; ++j) if (p->sizes[j] > n) n = p->sizes[j];",
                "  for (int64_t e = 0; e < p->events; ++e) if (p->event_size[e] > n) n = p->event_size[e];",
                *self.pointers("\n".join(sizes)),
                *(f"  if ({size} > n) n = {size};" for size in sizes),
                "  return (n/CHUNK + 1)*CHUNK;",
                "}",
                f"static int64_t buffer_count(void) {{ return {self.buffers}; }}",
            ]
        )


def _has_events_under_way(part):
    """Whether events are under way to a pathway when the simulation starts."""
    return part.block.under_way is not None and len(part.block.under_way) > 0


def _comment(text):
    return text.replace("*/", "")
