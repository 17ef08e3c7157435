"""Gradients to events whose synapses have different delays, for all delays at once.

What arrives at a target is kept for as many steps as delays differ by. When the backward pass is one shortest
delay from a step, all that its events have done is known: the gradient of a neuron's event is one sum over
its synapses, and only taken where it is wanted.
"""

from dataclasses import dataclass

import numpy as np

from brianbridge.kernels.loops import forward_lines, used_values
from brianbridge.kernels.operations import cast
from brianbridge.kernels.row_loops import factors_of
from brianbridge.kernels.turn_loops import TurnLoops

__all__ = ["MixedDelayLoops"]

LARGEST = 2**20  # numbers that are kept of one pathway


@dataclass(frozen=True)
class FanOut:
    """Synapses of a pathway, sorted by their source.

    Attributes
    ----------
    starts : ndarray of int32, shape (sources + 1,)
    synapses : ndarray of int32
    places : ndarray of int32
        Where each finds the gradient that it gets, among those kept: by delay and target.
    columns : int
        Targets.
    span : int
        Steps for which gradients are kept.
    """

    starts: np.ndarray
    synapses: np.ndarray
    places: np.ndarray
    columns: int
    span: int

    @property
    def in_order(self):
        """Whether `synapses` simply are 0, 1, 2, ..."""
        return bool(np.array_equal(self.synapses, np.arange(len(self.synapses))))


class MixedDelayLoops(TurnLoops):
    """Writes the gradients to events of pathways with different delays.

    Attributes
    ----------
    fan_outs : dict of str to FanOut
        By the name of the pathway.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.fan_outs = {}

    def event_gradients(self, number, event, route, part, body):
        """As for other pathways; as one sum for all delays where a synapse's part in it is a constant."""
        factors = self.fan_out_factors(route, part, body)
        if factors is None:
            return super().event_gradients(number, event, route, part, body)
        effect, weight, others = factors
        fan_out = self.fan_out_of(route, part, effect)
        self.fan_outs[part.block.name] = fan_out, self.event_number(event), weight
        values = used_values(body, others)
        product = "*".join([f"d_{effect.array}[column]", *(cast(v, "real") for v in others)])
        lines = [*forward_lines(values), f"given[column] = {product};"]
        return [
            "{",
            f"real *restrict given = {self.fan_out_row(part)};",
            f"const int64_t columns = p->fan_out_columns[{route.number}];",
            "#pragma omp simd",
            "for (int64_t column = 0; column < columns; ++column) {",
            *(f"  {line.replace(f'{effect.index}[i]', 'column')}" for line in lines),
            "}",
            self.fan_out_call(part),
            "}",
        ]

    def in_turn(self, part, bodies, under_way=False):
        """As for other pathways; what arrives in such a step is no part of that sum."""
        forward, backward = super().in_turn(part, bodies, under_way)
        if part.block.name in self.fan_outs:
            number = self.routes[part.block.name].number
            empty = f"memset({self.fan_out_row(part)}, 0, p->fan_out_columns[{number}]*sizeof(real));"
            backward = [("", [empty, self.fan_out_call(part)]), *backward]
        return forward, backward

    def fan_out_row(self, part):
        return f"fan_out_row(w, {self.fan_out_time(part)})"

    def fan_out_call(self, part):
        return f"fan_out_{self.routes[part.block.name].number}(w, {self.fan_out_time(part)});"

    def fan_out_time(self, part):
        number = self.event_number(self.tables.event(part.block.event))
        return f"{self.routes[part.block.name].number}, w->trial->spikes[{number}].count - 1"

    def fan_out_factors(self, route, part, body):
        """What the only sum of a body is made of, if it suits: the sum, the weights, the other factors."""
        if len(route.delays) < 2 or len(body.effects) != 1 or part.block.group in self.tables.sorted_groups:
            return None
        (effect,) = body.effects
        if (
            effect.kind != "add"
            or not self.is_floating(effect.array)
            or effect.array not in self.tables.varied
        ):
            return None
        if not self.adjoints[id(body)].to_event.mask or body.copies:
            return None
        factors = factors_of(body, effect.index[2:])
        if factors is None or factors[0][1].type != "real" or factors[0][1].symbol[:2] != "c_":
            return None
        span = int(route.delays[0] - route.delays[-1]) + 1
        return factors[0] if 2 * span * self.tables.length(effect.array[2:]) <= LARGEST else None

    def fan_out_of(self, route, part, effect):
        sources = self.tables.index_values(self.tables.rendered.identifiers[part.block.sources])
        targets = self.tables.index_values(effect.index[2:])
        order = np.argsort(sources, kind="stable")
        n = self.tables.program.events[part.block.event]
        columns = self.tables.length(effect.array[2:])
        places = (np.asarray(part.block.delays) - route.delays[-1]) * columns + targets
        span = int(route.delays[0] - route.delays[-1]) + 1
        starts = np.searchsorted(sources[order], np.arange(n + 1)).astype(np.int32)
        return FanOut(starts, order.astype(np.int32), places[order].astype(np.int32), columns, span)

    def fan_out_functions(self):
        """C functions: the sum over every neuron's synapses, and the same for events before the start."""
        functions, flushes = [], []
        for name, (fan_out, event, weight) in self.fan_outs.items():
            route = self.routes[name]
            place = "r" if fan_out.in_order else "synapses[r]"
            lines = [
                f"const int64_t q = now - p->delays[{route.number}][p->delay_count[{route.number}] - 1];",
                f"real *restrict upstream = ring_slot(w, {event}, q);",
                f"const uint8_t *wanted = marked(w, {event}, q);",
                "const real *restrict given = close_fan_out_row(w, route, now);",
                "const int32_t *restrict starts = p->fan_out_starts[route];",
                "const int32_t *restrict places = p->fan_out_places[route];",
                "const int32_t *restrict synapses = p->fan_out_synapses[route]; (void)synapses;",
                f"for (int64_t j = 0; j < p->event_size[{event}]; ++j) {{",
                "  if (!wanted[j]) continue;",
                "  real sum = 0;",
                "  #pragma omp simd reduction(+: sum)",
                "  for (int32_t r = starts[j]; r < starts[j + 1]; ++r)",
                f"    sum += {weight.symbol}[{place}]*given[places[r]];",
                "  upstream[j] += sum;",
                "}",
            ]
            heading = f"static void fan_out_{route.number}(Work *w, int64_t route, int64_t now) {{"
            pointers = self.pointers("\n".join(lines))
            functions.append("\n".join([heading, "const Problem *p = w->p;", *pointers, *lines, "}"]))
            given = f"{route.number}, {event}, {route.offset}, fan_out_{route.number}"
            flushes.append(f"flush_fan_out(w, {given});")
        return functions, "\n".join(["static void flush_fan_outs(Work *w) {", *flushes, "}"])
