"""Sums, decays and events of synapses whose state is a linear filter: forward, and back."""

from brianbridge.kernels.loops import forward_lines, used_values
from brianbridge.kernels.writing import Writing

__all__ = ["FilterLoops"]


class FilterLoops(Writing):
    """Writes calls of filters.c, and how constants make its factors, jumps and weights."""

    def filter_blocks(self, part, body):
        """What a part of the step does to a filter: blocks as of `_Parts.block`, forward and back."""
        made = self.filters[id(body)]
        if body is made.decay[1]:
            return [], []
        name = f"&w->simulation->filters[{made.number}], &w->filtering[{made.number}]"
        weighted = int(made.weighted)
        if body is made.jump[1]:
            event = self.event_number(self.tables.event(part.block.event))
            route = f"{event}, {self.routes[part.block.name].number}, {weighted}"
            varied = int(self.tables.event(part.block.event) in self.tables.varied)
            forward = f"filter_events(w, {name}, {made.state}, {route});"
            backward = f"filter_event_gradients(w, {name}, {route}, {varied});"
            return self._both(made, [forward], [backward])
        target = body.effects[0].array
        taped = target in self.taped[id(body)]
        self.pushed += [target] * taped
        forward = [f"if (w->taping) push(w, {target}, {self.bytes(target)});"] * taped
        forward += [self.clear(cleared, "") for cleared in body.cleared]
        forward.append(f"filter_sums(w, {name}, {made.state}, {target}, k, {weighted});")
        backward = [f"keep_sum_gradients({name}, d_{target}, {weighted});"]
        backward += [self.clear(cleared, "d_") for cleared in body.cleared]
        forward, backward = self._both(made, forward, backward)
        return forward, [("", [f"pop(w, {target}, {self.bytes(target)});"] * taped), *backward]

    def _both(self, made, forward, backward):
        return [("", forward)], [("", backward)] if made.state in self.tables.varied else []

    # -- constants of the filters ---------------------------------------------------------------------

    def filter_functions(self):
        """C functions that make all filters, and the gradients of the constants from those of the filters."""
        filters = list(dict.fromkeys(self.filters.values()))
        varied = [made for made in filters if made.state in self.tables.varied]
        worker = "Work *w, const Problem *p, const Filter *filters, Filtering *worker"
        functions = {
            "make_filters(const Problem *p, Filter *filters)": (filters, self._made),
            f"begin_filters({worker})": (varied, self._begun),
            f"end_filters({worker})": (varied, self._ended),
            f"finish_filters({worker})": (varied, self._finished),
        }
        return "\n".join(self._function(name, *each) for name, each in functions.items())

    def _function(self, name, filters, write):
        """C function that does something for each of some filters."""
        lines = [f"static void {name} {{"]
        for made in filters:
            block = write(made)
            lines += ["{", *self.pointers("\n".join(block))]
            if "*worker" in name:
                lines.append(f"const Filter *f = filters + {made.number};")
                lines.append(f"Filtering *g = worker + {made.number};")
            else:
                lines.append(f"Filter *f = filters + {made.number};")
            lines += [*block, "}"]
        return "\n".join([*lines, "}"])

    def _begun(self, made):
        return [f"begin_filter_gradients(f, g, d_{made.state});"]

    def _made(self, made):
        tables, (number, _) = self.tables, made.decay
        block = tables.rendered.parts[made.jump[0]].block
        route, event = self.routes[block.name].number, self.event_number(tables.event(block.event))
        lines = [
            f"const int64_t n = p->sizes[{number}];",
            f"f->targets = {self.whole(made.sorted_group.rows)};",
            f"f->rows = p->delay_count[{route}]*(p->event_size[{event}] + 1) - 1;",
            f"f->starts = p->sorted_starts[{list(tables.sorted_groups).index(made.sorted_group.group)}];",
        ]
        for name, (_, body), state in self._coefficients(made):
            value = body.effects[0].value
            inner = forward_lines(used_values(body, [value]))
            inner = [line.replace(f"{made.state}[i]", state).replace("= mask;", "= 1;") for line in inner]
            lines += [
                f"real *restrict {name} = f->{name} = malloc(n*sizeof(real) + 64);",
                *self.loop([*inner, f"{name}[i] = {value.name};"]),
            ]
        return [
            *lines,
            f"lay_filter(f, p->route_starts[{route}], p->synapses[{route}], i_{made.sorted_group.outer});",
        ]

    def _coefficients(self, made):
        """Name, body, and the state at which the value of the body is the coefficient."""
        return ("weight", made.total, "1"), ("factor", made.decay, "1"), ("jump", made.jump, "0")

    def _ended(self, made):
        number = self.tables.array_number(made.state)
        start = f"(const real *)((char *)p->state_in[p->carried[{number}]] + w->b*p->bytes[{number}])"
        return [f"end_filter_gradients(f, g, {start}, d_{made.state}, {int(made.weighted)});"]

    def _finished(self, made):
        lines = [f"const int64_t n = p->sizes[{made.decay[0]}];"]
        for name, (_, body), state in self._coefficients(made):
            reverse = self.adjoints[id(body)].body
            changes = [f"d_{a}[i] += {text};" for a, text in reverse.own.items() if a != made.state]
            changes += [f"d_{a}[0] += {text};" for a, text in reverse.shared.items()]
            changes += [f"d_{a}[{element}] += {text};" for a, element, text in reverse.scattered]
            if not changes:
                continue
            effect = body.effects[0]
            upstream = f"d_{effect.array}[{effect.index}[i]]" if effect.index else f"d_{effect.array}[i]"
            inner = [
                line.replace(upstream, f"g->d_{name}[i]")
                .replace(f"{made.state}[i]", state)
                .replace("= mask;", "= 1;")
                for line in [*forward_lines(reverse.values), *reverse.lines, *changes]
            ]
            lines += [f"in_state_order(f, g->d_{name});", *self.loop(inner, simd=False)]
        return lines
