"""Loops over the elements of a group: forward, and back."""

from brianbridge.kernels.loops import forward_lines, leaf_text, used_values
from brianbridge.kernels.tape import event_that_changes
from brianbridge.kernels.values import C_TYPES
from brianbridge.kernels.writing import SCATTERED, Writing, plain_line, scatter_line

__all__ = ["ElementLoops"]


class ElementLoops(Writing):
    """Writes the loops of state updates, thresholds, resets, records and sums."""

    def elements(self, number, part, body):
        size = "1" if body.shared else f"p->sizes[{number}]"
        count = f"const int64_t n = {size};"
        changed = [e.array for e in body.effects if e.kind not in ("record", "event")]
        changed = [a for a in dict.fromkeys(changed) if a in self.taped[id(body)]]
        pushes, pops = zip(*(self.on_tape(body, array) for array in changed)) if changed else ((), ())
        events = [e.array for e in body.effects if e.kind == "event"]
        forward = [count, *(f"if (w->taping) {push}" for push in pushes)]
        forward += self.elements_forward(body)
        for event in events:
            forward += self.list_events(event, body)
        backward = [count]
        backward += [f"undo_event(w, {self.event_number(event)});" for event in events]
        backward += [*reversed(pops), *self.elements_backward(body)]
        varied = [event for event in events if event in self.tables.varied]
        backward += [f"memset(e_{event}, 0, n*sizeof(real));" for event in varied]
        return forward, backward

    def on_tape(self, body, array):
        """Lines that put an array on the tape before a body changes it, and take it back."""
        event = event_that_changes(body, array)
        if event is None:
            self.pushed.append(array)
            return f"push(w, {array}, {self.bytes(array)});", f"pop(w, {array}, {self.bytes(array)});"
        self.pushed_at_events.append((event, array))
        arguments = f"(w, {self.event_number(event)}, {array}, sizeof(*{array}));"
        return f"push_at_events{arguments}", f"pop_at_events{arguments}"

    def elements_forward(self, body):
        lines = [self.clear(body_range, "") for body_range in body.cleared]
        scattered = [e for e in body.effects if e.kind in SCATTERED]
        mixed = any(e.value.type != "real" or e.mask is not None for e in scattered)
        direct = [
            e for e in scattered if not mixed and e.value.op == "own" and not body.stored(e.value.symbol)
        ]
        buffered = [] if mixed else [e for e in scattered if e not in direct]
        roots = [e.value for e in body.effects if e not in direct] + [
            e.mask for e in scattered if e.mask is not None
        ]
        inner = forward_lines(used_values(body, roots))
        inner += [plain_line(e) for e in body.effects if e.kind not in SCATTERED]
        inner += self.marks(body)
        inner += [f"{self.buffer_name(j)}[i] = {e.value.name};" for j, e in enumerate(buffered)]
        if mixed:
            inner += [scatter_line(e, e.value.name) for e in scattered]
        lines += self.buffer_pointers(len(buffered))
        if inner:
            lines += self.loop(inner, simd=not mixed)
        for j, effect in enumerate(buffered):
            lines += self.loop([scatter_line(effect, f"{self.buffer_name(j)}[i]")], simd=False)
        for effect in direct:
            lines += self.loop([scatter_line(effect, leaf_text(effect.value))], simd=False)
        return lines

    def elements_backward(self, body):
        reverse = self.adjoints[id(body)].body
        inner = forward_lines(reverse.values) + reverse.lines
        kept = {e.array: e for e in body.effects if e.kind in ("store", "put")}
        for array, effect in kept.items():
            if array in self.tables.varied and self.is_floating(array):
                place = f"{effect.index}[i]" if effect.index else "i"
                own = reverse.own.get(array) or (body.shared and reverse.shared.get(array)) or "0"
                inner.append(f"d_{array}[{place}] = {own};")
        inner += [f"d_{array}[i] += {text};" for array, text in reverse.own.items() if array not in kept]
        sums = [array for array in reverse.shared if not (body.shared and array in kept)]
        inner += [f"sum_{j} += {reverse.shared[array]};" for j, array in enumerate(sums)]
        inner += [f"{self.buffer_name(j)}[i] = {text};" for j, (_, _, text) in enumerate(reverse.scattered)]
        lines = [f"real sum_{j} = 0;" for j in range(len(sums))]
        lines += self.buffer_pointers(len(reverse.scattered))
        if inner:
            reduction = f" reduction(+: {', '.join(f'sum_{j}' for j in range(len(sums)))})" if sums else ""
            lines += self.loop(inner, clause=reduction)
        lines += [f"d_{array}[0] += sum_{j};" for j, array in enumerate(sums)]
        for j, (array, element, _) in enumerate(reverse.scattered):
            lines += self.loop([f"d_{array}[{element}] += {self.buffer_name(j)}[i];"], simd=False)
        lines += [
            self.clear(body_range, "d_") for body_range in body.cleared if body_range[0] in self.tables.varied
        ]
        return lines

    # -- events of a threshold ------------------------------------------------------------------------

    def list_events(self, event, body):
        number = self.event_number(event)
        lines = [f"list_nonzero(&w->trial->spikes[{number}], {event}, n);"]
        return lines

    def marks(self, body):
        """Lines that mark the neurons which a gradient of the event reaches, if those are not all."""
        lines = []
        for effect in body.effects:
            if effect.kind != "event" or effect.array not in self.tables.varied:
                continue
            slopes = [
                v for v in used_values(body, [effect.value]) if v.op == "compare" and v.gradient and v.varied
            ]
            if any("fast_sigmoid" in v.gradient for v in slopes):
                return []
            tests = []
            for value in slopes:
                left, right = (f"({C_TYPES[value.index]}){a.name}" for a in value.arguments)
                tests.append(f"({value.gradient.format(x=f'({left} - {right})')} != 0)")
            if tests:
                lines.append(f"u_{self.event_number(effect.array)}[i] = {' | '.join(tests)};")
        return lines
