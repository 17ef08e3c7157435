"""Loops over the synapses of a pathway one by one, in the order of Brian2's queue: forward, and back.

Where synapses take turns, each sees what those before it have done, and so do gradients: to that of an event
that did not happen, too, belongs the state in which its synapse would have had its turn.
"""

from brianbridge.kernels.event_loops import EventLoops
from brianbridge.kernels.loops import forward_lines

__all__ = ["TurnLoops"]


class TurnLoops(EventLoops):
    """Writes the loops of pathways whose synapses take turns, and of events under way at the start."""

    def in_turn(self, part, bodies, under_way=False):
        """Blocks of a loop in which each synapse goes through some bodies.

        Parameters
        ----------
        part : Part
        bodies : list of Body
        under_way : bool
            Whether events may arrive that were under way when the simulation started.
        """
        route, event = self.routes[part.block.name], self.tables.event(part.block.event)
        arrivals = [line for body in bodies for line in ["{", *self.arrival(part, body), "}"]]
        if under_way:
            twice = f"if (spiked[j] && arrives) *p->twice = {route.number + 1};"
            arrivals = ["if (mask == 0) continue;", twice, *arrivals]
            forward = self.synapses_in_order(event, part, under_way, arrivals)
        else:
            forward = self.deliver(event, route, part, arrivals)
        inner = [line for body in reversed(bodies) for line in self.adjoint_at_synapse(body)]
        backward = self.synapses_in_order(event, part, under_way, inner, backward=True) if inner else []
        arrived = "1" if under_way else f"arrived(w, {self.event_number(event)}, {route.number})"
        for body in bodies:
            forward, backward = self.with_whole_arrays(body, arrived, forward, backward)
        return [("", forward)], [("", backward)]

    def adjoint_at_synapse(self, body):
        """The adjoint at one synapse, whether there is an event or not."""
        to_event = self.adjoints[id(body)].to_event
        taken, lines = self.adjoint_of_arrival(body, "upstream[j]"), []
        if taken:
            lines += ["if (mask != 0) {", *taken, "}"]
        if to_event.mask:
            lines += ["if (mask == 0 && wanted[j]) {", *forward_lines(to_event.values), *to_event.lines]
            lines += [f"upstream[j] += {to_event.mask};", "}"]
        return lines

    def under_way_arguments(self, part):
        """C text of the arguments that say which events under way arrive in a step."""
        step = f"k/{part.every}" if part.every > 1 else "k"
        return f"lanes->p, {self.routes[part.block.name].number}, {step}"

    def synapses_in_order(self, event, part, under_way, inner, backward=False):
        """Loop over the synapses of all neurons that have an event, or whose gradient is wanted."""
        route, number = self.routes[part.block.name], self.event_number(event)
        skipped, events = ["!spiked[j]"], []
        here = ["const real mask = spiked[j];"]
        if backward:
            skipped.append("!wanted[j]")
        if under_way:
            events = [f"UnderWay under_way = events_under_way({self.under_way_arguments(part)});"]
            skipped.append(f"!under_way_in_row(&under_way, row, {int(backward)})")
            here = [
                f"const int arrives = take_under_way(&under_way, r, {int(backward)});",
                "const real mask = spiked[j] || arrives;",
            ]
        return [
            "{",
            f"const Lists *l = &w->trial->spikes[{number}];",
            f"const int32_t *restrict starts = p->route_starts[{route.number}];",
            f"const int32_t *restrict synapses = p->synapses[{route.number}]; (void)synapses;",
            f"const int64_t sources = p->event_size[{number}];",
            f"uint8_t *spiked = w->spiked[{number}];",
            *events,
            _loop("int64_t d", f"p->delay_count[{route.number}]", backward),
            f"  const int64_t q = l->count - 1 - p->delays[{route.number}][d];",
            *([f"  real *restrict upstream = ring_slot(w, {number}, q);"] if backward else []),
            *([f"  const uint8_t *wanted = marked(w, {number}, q);"] if backward else []),
            "  memset(spiked, 0, sources);",
            "  for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) spiked[l->items[e]] = 1;",
            f"  {_loop('int64_t j', 'sources', backward)}",
            "    const int32_t *row = starts + d*(sources + 1) + j;",
            f"    if ({' && '.join(skipped)}) continue;",
            f"    {_loop('int32_t r', 'row[1]', backward, 'row[0]')}",
            f"      const int32_t i = {self.synapse(route, part)};",
            *(f"      {line}" for line in [*here, *inner]),
            "    }",
            "  }",
            "}",
            "memset(spiked, 0, sources);",
            "}",
        ]


def _loop(name, stop, backward, start="0"):
    variable = name.split()[-1]
    if backward:
        return f"for ({name} = {stop} - 1; {variable} >= {start}; --{variable}) {{"
    return f"for ({name} = {start}; {variable} < {stop}; ++{variable}) {{"
