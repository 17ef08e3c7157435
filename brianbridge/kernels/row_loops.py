"""Loops over the rows of a grid, or over the neurons that sorted synapses go to: forward, and back."""

import re

from brianbridge.kernels.grids import fits, grid_for
from brianbridge.kernels.loops import forward_lines, used_values
from brianbridge.kernels.sorted_synapses import SortedSynapses
from brianbridge.kernels.writing import Writing

__all__ = ["RowLoops"]


class RowLoops(Writing):
    """Writes the loops of sums and pathways for which an index need not be looked up."""

    def grid_of(self, part, body):
        """The grid over which a body can run, or its sorted synapses; or None."""
        sorted_group = self.tables.sorted_groups.get(part.block.group)
        if sorted_group is not None and body.cleared and sorted_group.fits(body):
            return sorted_group
        tables, targets = self.tables, {e.index for e in body.effects}
        if len(targets) != 1 or not all(e.kind == "add" for e in body.effects):
            return None
        target = targets.pop().removeprefix("i_")
        if part.block.kind == "pathway":
            source = tables.rendered.identifiers[part.block.sources]
            if len(self.routes[part.block.name].delays) != 1:
                return None
        else:
            gathered = {v.index.removeprefix("i_") for v in body.values if v.op == "at"} - {target}
            found = [name for name in gathered if name.endswith(("_synaptic_pre", "_synaptic_post"))]
            found = found or [n for n in (_other_end(target),) if n in tables.constants]
            source = found[0] if len(found) == 1 else target
        if source == target or source not in tables.constants or part.block.group in tables.sorted_groups:
            return None
        if body.copies:
            return None
        grid = grid_for(source, target, tables.constants)
        if grid is None and part.block.kind != "pathway":
            grid = grid_for(target, source, tables.constants)
        if grid is None:
            return None
        is_product = part.block.kind != "pathway" and self.sum_factors(grid, body) is not None
        if not (is_product or fits(grid, body)):
            return None
        return grid if self.on_grid(grid, body, []) is not None else None

    def on_grid(self, grid, body, lines):
        """Lines with the indices of a grid; None if something is indexed otherwise."""
        if isinstance(grid, SortedSynapses):
            return [_replaced(line, {f"i_{grid.outer}[i]": "row"}) for line in lines]
        names = {v.index for v in body.values if v.op in ("at", "row") and v.index.startswith("i_")}
        names |= {e.index for e in body.effects}
        replaced = {f"{name}[i]": self.element(grid, name) for name in sorted(names)}
        if None in replaced.values():
            return None
        for value in body.values:
            if value.op == "own":
                replaced[f"{value.symbol}[i]"] = f"{self.tables.grid_constant(value.symbol, grid)}[i]"
        return [_replaced(line, replaced) for line in lines]

    def element(self, grid, index):
        """C text of an index on a grid; None if it depends on both the row and the column."""
        ends = {f"i_{grid.outer}": "row", f"i_{grid.inner}": "column"}
        return ends.get(index) or self.tables.table_of_grid(index, grid)

    def sum_factors(self, grid, body):
        """What the summands of a sum are made of, where it is the product of a matrix with a vector.

        Returns
        -------
        (Value, list of Value) or None
            The synapses' constant, and the other factors, which depend on the source only.
        """
        if len(body.effects) != 1:
            return None
        to_columns, factors = body.effects[0].index == f"i_{grid.inner}", _factors(body.effects[0].value)
        weights = [v for v in factors if v.op == "own"]
        others = [v for v in factors if v.op != "own"]
        if len(weights) != 1 or not weights[0].symbol.startswith("c_") or weights[0].type != "real":
            return None
        if not others or not all(self.is_along(grid, v, "row" if to_columns else "column") for v in others):
            return None
        return weights[0], others

    def is_along(self, grid, value, line):
        """Whether a value is the same for all places of a row, or of a column."""
        if value.op in ("own", "lookup") or (value.op == "row" and not value.index):
            return False
        if value.op in ("at", "row") and value.index != "0":
            return line in (self.element(grid, value.index) or "")
        return all(self.is_along(grid, argument, line) for argument in value.arguments)

    def columns(self, grid, inner, clause="", simd=True):
        """Loop over the columns of a row, or over the synapses of a neuron."""
        pragma = [f"#pragma omp simd{clause}"] if simd else []
        if isinstance(grid, SortedSynapses):
            number = list(self.tables.sorted_groups).index(grid.group)
            return [
                f"const int32_t *restrict starts = p->sorted_starts[{number}];",
                *pragma,
                "for (int32_t i = starts[row]; i < starts[row + 1]; ++i) {",
                *(f"  {line}" for line in inner),
                "}",
            ]
        columns = f"(int64_t){self.tables.extent(grid.columns)}"
        return [
            f"const int64_t columns = {columns};",
            *pragma,
            "for (int64_t column = 0; column < columns; ++column) {",
            *(["  const int64_t i = row*columns + column;"] if any("[i]" in line for line in inner) else []),
            *(f"  {line}" for line in inner),
            "}",
        ]

    def grid_sums(self, number, part, body, grid):
        """A sum over synapses, row by row."""
        product = None if isinstance(grid, SortedSynapses) else self.sum_factors(grid, body)
        if product is not None:
            return self.matrix_sums(body, grid, product)
        rows = f"(int64_t)lanes->p->literals[{self.tables.extent(grid.rows)[2:]}]"
        changed = [a for a in dict.fromkeys(e.array for e in body.effects) if a in self.taped[id(body)]]
        self.pushed += changed
        before = [f"if (w->taping) push(w, {a}, {self.bytes(a)});" for a in changed]
        before += [self.clear(cleared, "") for cleared in body.cleared]
        values = used_values(body, [e.value for e in body.effects])
        forward = self.row_of_sums(
            grid,
            body,
            forward_lines(values),
            [(e.array, f"{e.index}[i]", e.value.name) for e in body.effects],
        )
        reverse = self.adjoints[id(body)].body
        restore = [f"pop(w, {a}, {self.bytes(a)});" for a in reversed(changed)]
        after = [self.clear(c, "d_") for c in body.cleared if c[0] in self.tables.varied]
        backward = self.row_of_gradients(grid, body, reverse)
        return [("", before), (rows, forward)], [("", restore), (rows, backward), ("", after)]

    def row_of_gradients(self, grid, body, reverse):
        changes = [(f"d_{a}", element, text) for a, element, text in reverse.scattered]
        changes += [(f"d_{a}", "0", text) for a, text in reverse.shared.items()]
        changes += [(f"d_{a}", "i", text) for a, text in reverse.own.items()]
        if not changes:
            return []
        return self.row_of_sums(grid, body, forward_lines(reverse.values) + reverse.lines, changes)

    def row_of_sums(self, grid, body, inner, changes):
        """A row of a grid: sums over it are added once, what each column gets is added in the loop."""
        inner, sums, simd = self.on_grid(grid, body, inner), [], True
        for array, element, text in changes:
            line = self.on_grid(grid, body, [f"{array}[{element}] += {text};"])[0]
            place, text = line.split(" += ")
            if place.endswith(("[column]", "[i]")):
                inner.append(line)
            elif "[column]" in place:  # several columns may lead to one element
                inner.append(line)
                simd = False
            else:
                inner.append(f"sum_{len(sums)} += {text}")
                sums.append(place)
        names = ", ".join(f"sum_{j}" for j in range(len(sums)))
        return [
            *(f"real sum_{j} = 0;" for j in range(len(sums))),
            *self.columns(grid, inner, f" reduction(+: {names})" if sums else "", simd),
            *(f"{place} += sum_{j};" for j, place in enumerate(sums)),
        ]

    def grid_events(self, number, part, body, grid):
        """Events that arrive at the rows of a grid."""
        block, route = part.block, self.routes[part.block.name]
        event = self.tables.event(block.event)
        e = self.event_number(event)
        rows = f"(int64_t)lanes->p->literals[{self.tables.extent(grid.rows)[2:]}]"
        dense = [a for a in dict.fromkeys(e.array for e in body.effects) if a in self.taped[id(body)]]
        self.pushed += dense
        arrived = f"arrived(w, {e}, {route.number})"
        delay = f"p->delays[{route.number}][0]"
        values = used_values(body, [effect.value for effect in body.effects])
        sums = [(effect.array, f"{effect.index}[i]", effect.value.name) for effect in body.effects]
        forward = [f"if (w->taping && {arrived}) push(w, {a}, {self.bytes(a)});" for a in dense]
        row = self.row_of_sums(grid, body, forward_lines(values), sums)
        forward += self.arriving_rows(grid, e, delay, row)
        reverse, to_event = self.adjoints[id(body)]
        backward = []
        factors = factors_of(body, grid.inner)
        wanted = f"marked({{}}, {e}, {{}}->trial->spikes[{e}].count - 1 - {delay})"
        if to_event.mask and factors:
            backward = self.dot_rows(grid, body, e, delay, factors)
        elif to_event.mask:
            lines = self.on_grid(grid, body, forward_lines(to_event.values) + to_event.lines)
            dot = [
                f"if (!{wanted.format('w', 'w')}[row]) continue;",
                "const real mask = 0; (void)mask;",
                "real sum = 0;",
                *self.columns(grid, [*lines, f"sum += {to_event.mask};"], " reduction(+: sum)"),
                f"ring_slot(w, {e}, w->trial->spikes[{e}].count - 1 - {delay})[row] += sum;",
            ]
            backward = [(rows, dot)]
        gradients = self.row_of_gradients(grid, body, reverse)
        if gradients:
            backward.append(("", self.arriving_rows(grid, e, delay, gradients)))
        backward.append(("", [f"if ({arrived}) pop(w, {a}, {self.bytes(a)});" for a in reversed(dense)]))
        return [("", forward)], backward

    def arriving_rows(self, grid, e, delay, inner):
        """Loop over the events that arrive; neurons after the last row have no synapses."""
        columns = self.whole(grid.columns)
        inner = self.drawing(inner, f"row*{columns}", f"(row + 1)*{columns}")
        return [
            f"const Lists *l = &w->trial->spikes[{e}];",
            f"const int64_t q = l->count - 1 - {delay};",
            "for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) {",
            "  const int64_t row = l->items[e];",
            f"  if (row >= {self.whole(grid.rows)}) break;",
            "  const real mask = 1; (void)mask;",
            *(f"  {line}" for line in inner),
            "}",
        ]


def factors_of(body, target):
    """What each sum over synapses is made of, where the gradient to the events is a matrix product.

    Parameters
    ----------
    body : Body
    target : str
        Name in the step of the index array of the targets.

    Returns
    -------
    list of (Effect, Value, list of Value) or None
        The sum, the synapses' constant, and the other factors, which depend on the target only.
    """
    found = []
    for effect in body.effects:
        factors = _factors(effect.value)
        masks = [v for v in factors if v.op == "mask"]
        weights = [v for v in factors if v.op == "own"]
        others = [v for v in factors if v.op not in ("mask", "own")]
        if len(masks) != 1 or len(weights) != 1 or not all(_by_target(v, target) for v in others):
            return None
        if effect.index != f"i_{target}":
            return None
        found.append((effect, weights[0], others))
    return found


def _factors(value):
    if value.op == "multiply":
        return [factor for argument in value.arguments for factor in _factors(argument)]
    return [value]


def _by_target(value, target):
    if value.op in ("own", "row", "mask", "lookup") or (value.op == "at" and value.index != f"i_{target}"):
        return False
    return all(_by_target(argument, target) for argument in value.arguments)


def _other_end(name):
    """Name of the index array at the other end of the synapses."""
    if name.endswith("_synaptic_post"):
        return name.removesuffix("post") + "pre"
    return name.removesuffix("pre") + "post"


def _replaced(line, replacements):
    for old, new in replacements.items():
        line = re.sub(rf"\b(d_)?{re.escape(old)}", lambda found, new=new: (found[1] or "") + new, line)
    return line
