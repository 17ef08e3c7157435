"""Loops over the events that arrive at synapses: forward, and back."""

from brianbridge.kernels.loops import forward_lines, used_values
from brianbridge.kernels.writing import SCATTERED, Writing, place_of, plain_line, scatter_line

__all__ = ["EventLoops"]

SHORT = 32  # synapses of one neuron and delay


class EventLoops(Writing):
    """Writes the loops of pathways, one synapse after the other."""

    def events(self, number, part, body):
        block, route = part.block, self.routes[part.block.name]
        event = self.tables.event(block.event)
        arrived = f"arrived(w, {self.event_number(event)}, {route.number})"
        backward = self.event_gradients(number, event, route, part, body)
        backward += self.events_backward(event, route, part, body)
        forward = self.deliver(event, route, part, self.arrival(part, body))
        return self.with_whole_arrays(body, arrived, forward, backward)

    def with_whole_arrays(self, body, arrived, forward, backward):
        """Loops over events, with what is copied or put on the tape as a whole.

        Parameters
        ----------
        body : Body
        arrived : str
            C text that says whether there is any event.
        forward, backward : list of str
        """
        pushed = [a for a in self.dense(body) if a in self.taped[id(body)]]
        kept = [copy for copy in body.copies if copy in self.taped[id(body)]]
        self.pushed = self.pushed + pushed + kept
        forward = [
            *(f"if (w->taping && {arrived}) push(w, {a}, {self.bytes(a)});" for a in pushed),
            *(f"memcpy({copy}, {a}, {self.bytes(a)});" for copy, a in body.copies.items()),
            *forward,
            *(f"if (w->taping && {arrived}) push(w, {a}, {self.bytes(a)});" for a in kept),
        ]
        backward = [
            *(f"if ({arrived}) pop(w, {a}, {self.bytes(a)});" for a in reversed(kept)),
            *(f"if (!{arrived}) memcpy({a}, {body.copies[a]}, {self.bytes(a)});" for a in kept),
            *backward,
            *(f"if ({arrived}) pop(w, {a}, {self.bytes(a)});" for a in reversed(pushed)),
            *(line for copy, a in body.copies.items() for line in self.add_copy_gradient(copy, a)),
        ]
        return forward, backward

    def add_copy_gradient(self, copy, array):
        """Add the gradient of a copy to that of the array itself."""
        if copy not in self.tables.varied or not self.is_floating(array):
            return []
        size = f"{self.bytes(array)}/(int64_t)sizeof(real)"
        return [
            f"for (int64_t i = 0; i < {size}; ++i) d_{array}[i] += d_{copy}[i];",
            f"memset(d_{copy}, 0, {self.bytes(array)});",
        ]

    # -- the body of a loop ---------------------------------------------------------------------------

    def owned(self, body):
        """Effects whose old values each event puts on the tape."""
        kinds = ("store", "put", "multiply", "assign")
        return [e for e in body.effects if e.kind in kinds and e.array in self.taped[id(body)]]

    def dense(self, body):
        """Arrays that change by sums, and go to the tape as a whole."""
        added = dict.fromkeys(e.array for e in body.effects if e.kind == "add")
        return [a for a in added if a not in {e.array for e in self.owned(body)}]

    def arrival(self, part, body):
        """What an event does at a synapse."""
        values = used_values(
            body, [e.value for e in body.effects] + [e.mask for e in body.effects if e.mask is not None]
        )
        owned = self.owned(body)
        self.at_event[part.block.name, id(body)] = [e.array for e in owned]
        pushes = [f"push_element(w, &{place_of(e)}, sizeof({place_of(e)}));" for e in owned]
        inner = ["if (w->taping) {", *pushes, "}"] if pushes else []
        inner += forward_lines(values)
        return inner + [
            plain_line(e) if e.kind not in SCATTERED else scatter_line(e, e.value.name) for e in body.effects
        ]

    def adjoint_of_arrival(self, body, event):
        """The adjoint of what an event did at a synapse; its own gradient goes to `event`, if any."""
        reverse = self.adjoints[id(body)].body
        owned = self.owned(body)
        changes, scattered = [], list(reverse.scattered)
        for effect in body.effects:
            if effect.array not in self.tables.varied or not self.is_floating(effect.array):
                continue
            if effect.kind == "store":
                changes.append(f"d_{effect.array}[i] = {reverse.own.get(effect.array, '0')};")
            elif effect.kind == "put":
                same = [s for s in scattered if place_of(effect) == f"{s[0]}[{s[1]}]"]
                scattered = [s for s in scattered if s not in same]
                changes.append(f"d_{place_of(effect)} = {same[0][2] if same else '0'};")
            elif effect.kind == "multiply":
                changes.append(f"d_{place_of(effect)} *= {effect.value.name};")
            elif effect.kind == "assign":
                hit = f"if ({effect.mask.name} > 0.5) " if effect.mask is not None else ""
                changes.append(f"{hit}d_{place_of(effect)} = 0;")
        stored = {e.array for e in body.effects if e.kind == "store"}
        changes += [f"d_{a}[i] += {text};" for a, text in reverse.own.items() if a not in stored]
        changes += [f"d_{a}[0] += {text};" for a, text in reverse.shared.items()]
        changes += [f"d_{a}[{element}] += {text};" for a, element, text in scattered]
        if reverse.mask and event:
            changes.append(f"{event} += {reverse.mask};")
        if not (changes or owned):
            return []
        pops = [f"pop_element(w, &{place_of(e)}, sizeof({place_of(e)}));" for e in reversed(owned)]
        return [*pops, *forward_lines(reverse.values), *reverse.lines, *changes]

    # -- loops ----------------------------------------------------------------------------------------

    def distinguishes(self, body):
        """Whether the gradient to an event depends on whether it happened."""
        changed = {e.array for e in body.effects if e.kind in ("store", "multiply", "assign")}
        if any(e.kind != "store" for e in body.effects if e.array in changed):
            return True
        to_event = self.adjoints[id(body)].to_event
        return bool(changed) and any(v.op == "mask" or v.symbol in changed for v in to_event.values)

    def synapse(self, route, part):
        """C text of the synapse at a place of a route."""
        in_order = route.in_order and part.block.group not in self.tables.sorted_groups
        return "r" if in_order else "synapses[r]"

    def deliver(self, event, route, part, inner):
        """Loop over the events that arrive, in the order of Brian2's queue."""
        inner = self.drawing(inner, "i", "i + 1")
        number = self.event_number(event)
        return [
            f"const Lists *l = &w->trial->spikes[{number}];",
            f"const int32_t *restrict starts = p->route_starts[{route.number}];",
            f"const int32_t *restrict synapses = p->synapses[{route.number}]; (void)synapses;",
            f"const int64_t sources = p->event_size[{number}];",
            f"for (int64_t d = 0; d < p->delay_count[{route.number}]; ++d) {{",
            f"  const int64_t q = l->count - 1 - p->delays[{route.number}][d];",
            "  for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) {",
            "    const int32_t *row = starts + d*(sources + 1) + l->items[e];",
            "    for (int32_t r = row[0]; r < row[1]; ++r) {",
            f"      const int32_t i = {self.synapse(route, part)};",
            "      const real mask = 1; (void)mask;",
            *(f"      {line}" for line in inner),
            "    }",
            "  }",
            "}",
        ]

    def events_backward(self, event, route, part, body):
        slot = f"ring_slot(w, {self.event_number(event)}, q)[l->items[e]]"
        inner = self.adjoint_of_arrival(body, slot if self.distinguishes(body) else "")
        return [_reversed_loop(line) for line in self.deliver(event, route, part, inner)] if inner else []

    def event_gradients(self, part_number, event, route, part, body):
        """Gradient to the events of all neurons that have a spike gradient, whether they spiked or not."""
        to_event = self.adjoints[id(body)].to_event
        if not to_event.mask:
            return []
        number, distinguishes = self.event_number(event), self.distinguishes(body)
        if part.block.group in self.tables.sorted_groups and len(route.delays) == 1 and not distinguishes:
            return self.event_gradients_of_sorted(part_number, number, route, part, body)
        rows = len(route.delays) * self.tables.program.events[part.block.event]
        if len(route.delays) > 1 and len(route.synapses) < SHORT * rows:
            return self.event_gradients_in_memory_order(part_number, number, route, part, body)
        skipped = "      if (spiked[j]) continue;" if distinguishes else ""
        arrived = "  for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) spiked[l->items[e]] = {};"
        lines = [
            "{",
            f"const Lists *l = &w->trial->spikes[{number}];",
            f"const int32_t *restrict starts = p->route_starts[{route.number}];",
            f"const int32_t *restrict synapses = p->synapses[{route.number}]; (void)synapses;",
            f"const int64_t sources = p->event_size[{number}];",
            f"uint8_t *spiked = w->spiked[{number}]; (void)spiked;",
            f"for (int64_t d = 0; d < p->delay_count[{route.number}]; ++d) {{",
            f"  const int64_t q = l->count - 1 - p->delays[{route.number}][d];",
            f"  real *restrict upstream = ring_slot(w, {number}, q);",
            f"  const uint8_t *wanted = marked(w, {number}, q);",
            arrived.format(1) if distinguishes else "",
            "  for (int64_t j = 0; j < sources; ++j) {",
            "    if (!wanted[j]) continue;",
            skipped,
            "    const int32_t *row = starts + d*(sources + 1) + j;",
            "    const real mask = 0; (void)mask;",
            "    real sum = 0;",
            "    #pragma omp simd reduction(+: sum)",
            "    for (int32_t r = row[0]; r < row[1]; ++r) {",
            f"      const int32_t i = {self.synapse(route, part)};",
            *(f"      {line}" for line in forward_lines(to_event.values) + to_event.lines),
            f"      sum += {to_event.mask};",
            "    }",
            "    upstream[j] += sum;",
            "  }",
            arrived.format(0) if distinguishes else "",
            "}",
            "}",
        ]
        return [line for line in lines if line]

    def event_gradients_in_memory_order(self, part_number, event, route, part, body):
        """The same where few synapses share a source and a delay: all of them in the order of memory."""
        source = self.tables.index(self.tables.rendered.identifiers[part.block.sources])
        chosen = "wanted[j] & !spiked[j]" if self.distinguishes(body) else "wanted[j]"
        to_event = self.adjoints[id(body)].to_event
        lines = forward_lines(to_event.values) + to_event.lines
        return [
            "{",
            f"const int64_t n = p->sizes[{part_number}];",
            *self.buffer_pointers(1),
            "const real mask = 0; (void)mask;",
            *self.loop([*lines, f"buffer_0[i] = {to_event.mask};"]),
            f"const Lists *l = &w->trial->spikes[{event}];",
            f"const int64_t sources = p->event_size[{event}];",
            f"const int32_t *restrict synapses = p->synapses[{route.number}];",
            f"uint8_t *spiked = w->spiked[{event}];",
            f"for (int64_t d = 0; d < p->delay_count[{route.number}]; ++d) {{",
            f"  const int32_t *restrict row = p->route_starts[{route.number}] + d*(sources + 1);",
            f"  const int64_t q = l->count - 1 - p->delays[{route.number}][d];",
            f"  real *restrict upstream = ring_slot(w, {event}, q);",
            f"  const uint8_t *wanted = marked(w, {event}, q);",
            "  for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) spiked[l->items[e]] = 1;",
            "  for (int32_t r = row[0]; r < row[sources]; ++r) {",
            f"    const int32_t i = synapses[r], j = {source}[i];",
            f"    if ({chosen}) upstream[j] += buffer_0[i];",
            "  }",
            "  for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) spiked[l->items[e]] = 0;",
            "}",
            "}",
        ]

    def event_gradients_of_sorted(self, part_number, event, route, part, body):
        """The same for sorted synapses: all of them in their order, since a neuron's own lie far apart."""
        source = self.tables.index(self.tables.rendered.identifiers[part.block.sources])
        slot = f"ring_slot(w, {event}, w->trial->spikes[{event}].count - 1 - p->delays[{route.number}][0])"
        to_event = self.adjoints[id(body)].to_event
        lines = forward_lines(to_event.values) + to_event.lines
        return [
            "{",
            f"const int64_t n = p->sizes[{part_number}];",
            f"real *restrict upstream = {slot};",
            *self.buffer_pointers(1),
            "const real mask = 0; (void)mask;",
            *self.loop([*lines, f"buffer_0[i] = {to_event.mask};"]),
            *self.loop([f"upstream[{source}[i]] += buffer_0[i];"], simd=False),
            "}",
        ]


def _reversed_loop(line):
    """The loops over delays, events and synapses, backwards."""
    return (
        line.replace("int64_t d = 0; d < ", "int64_t d = -1 + ")
        .replace("; ++d)", "; d >= 0; --d)")
        .replace(
            "int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e",
            "int64_t e = l->ends[q + 1] - 1; e >= l->ends[q]; --e",
        )
        .replace("int32_t r = row[0]; r < row[1]; ++r", "int32_t r = row[1] - 1; r >= row[0]; --r")
    )
