"""Names, pointers and loops in C: what all parts of a kernel are written with."""

import re

from brianbridge.kernels.values import C_TYPES, FLOATING

__all__ = ["SCATTERED", "Writing", "place_of", "plain_line", "scatter_line"]

#: What C identifiers stand for, by their first letter; the number or the name of the array follows.
PREFIXES = {
    "s": "state",
    "m": "temporary array",
    "z": "events",
    "c": "constant",
    "q": "reciprocals of a constant",
    "y": "constant laid out as a grid",
    "i": "index array",
    "h": "index along the rows or the columns of a grid",
    "r": "random numbers of every element",
    "n": "random numbers, of which only some are drawn",
    "x": "input",
    "o": "output",
    "g": "gradient of an output",
    "e": "gradient of events, which is used up",
    "u": "marks of neurons that a spike gradient reaches",
    "l": "literal",
}
#: Those, gradients of arrays (``d_`` before their name), and the time.
POINTER = re.compile(rf"\b(?:[{''.join(PREFIXES)}]_\w+|d_[smczrxy]_\w+|t\b)")
NUMBERS = re.compile(r"\br_(\d+)\[i\]")  # random ones, of every element
SCATTERED = ("put", "add", "multiply", "assign")


class Writing:
    """What is written so far, and how to name things.

    Parameters
    ----------
    tables : Tables
    routes : dict of str to Route
    adjoints : dict of int to Adjoints
        By the identity of the body.
    taped : dict of int to set of str
        By the identity of the body: arrays that it changes, whose values the backward pass needs (`tape`).
    filters : dict of int to Filter
        By the identity of each of their bodies.

    Attributes
    ----------
    pushed : list of str
        Arrays that a step puts on the tape.
    pushed_at_events : list of (str, str)
        Events and arrays of which only the elements with an event go there.
    at_event : dict of (str, int) to list of str
        Arrays of which an event puts an element on the tape at each synapse: by pathway and body (its id).
    products : list of (str, str)
        Matrices whose gradient is gathered over several steps, with their sizes in C.
    buffers : int
        Buffers of one loop at most.
    """

    def __init__(self, tables, routes, adjoints, taped, filters):
        self.tables, self.routes = tables, routes
        self.adjoints, self.taped, self.filters = adjoints, taped, filters
        self.pushed, self.pushed_at_events, self.at_event = [], [], {}
        self.products, self.buffers = [], 1

    # -- loops ----------------------------------------------------------------------------------------

    def loop(self, inner, simd=True, clause=""):
        pragma = [f"#pragma omp simd{clause}"] if simd else []
        return [*pragma, "for (int64_t i = 0; i < n; ++i) {", *(f"  {line}" for line in inner), "}"]

    def buffer_name(self, number):
        return f"buffer_{number}"

    def buffer_pointers(self, count):
        self.buffers = max(self.buffers, count)
        return [f"real *restrict buffer_{j} = vector(w, {j});" for j in range(count)]

    def clear(self, cleared, prefix):
        array, start, stop = cleared
        stop = f"{self.bytes(array)}/sizeof(*{array})" if stop is None else self.whole(stop)
        start = self.whole(start)
        return f"memset({prefix}{array} + {start}, 0, ({stop} - {start})*sizeof(*{prefix}{array}));"

    def whole(self, number):
        """A whole number of the network as a parameter of the kernel."""
        return f"(int64_t){self.tables.extent(number)}"

    def drawing(self, lines, first, end):
        """Lines, after others that draw what they read of random numbers from one element to another."""
        draws = []
        for number in dict.fromkeys(NUMBERS.findall("\n".join(lines))):
            step = self.tables.rows[f"r_{number}"][2]
            draws.append(f"draw_numbers(w, {number}, {step}, {first}, {end}, sizeof(*n_{number}));")
        return draws + [NUMBERS.sub(r"n_\1[i]", line) for line in lines]

    # -- names ----------------------------------------------------------------------------------------

    def event_number(self, symbol):
        names = [self.tables.event(event) for event in self.tables.rendered.events]
        return names.index(symbol)

    def is_floating(self, array):
        return self.type(array) in FLOATING

    def type(self, array):
        if array in self.tables.temporaries:
            return self.tables.temporaries[array][0]
        return self.tables.type(array[2:])

    def bytes(self, array):
        return f"p->bytes[{self.tables.array_number(array)}]"

    def pointers(self, text):
        """Declarations of all pointers and numbers that some lines use."""
        found, lines = list(dict.fromkeys(POINTER.findall(text))), []
        for name in found:
            lines += self.pointer(name, found, lines)
        order = lambda line: 0 if "p->literals" in line else 1 if line.startswith("const double t ") else 2  # noqa: E731
        return sorted(dict.fromkeys(lines), key=order)

    def pointer(self, name, found, lines):
        tables, kind = self.tables, name.split("_")[0]
        if name == "t":
            dt, _ = tables.literal(float(tables.program.dt))
            return [f"const double {dt} = p->literals[{dt[2:]}];", f"const double t = (double)k*{dt};"]
        if kind == "l":
            return [f"const double {name} = p->literals[{name[2:]}];"]
        if kind == "i":
            return [f"const int32_t *restrict {name} = p->indices[{tables.index_number(name)}];"]
        if kind == "q":
            return [f"const real *restrict {name} = p->reciprocals[{name[2:]}];"]
        if kind == "u":
            return [f"uint8_t *restrict {name} = mark_row(w, {name[2:]});"]
        if kind == "y":
            return [f"const real *restrict {name} = p->grids[{name[2:]}];"]
        if kind == "h":
            return [f"const int32_t *restrict {name} = p->grid_indices[{name[2:]}];"]
        if kind == "c":
            place = tables.constant_number(name)
            return [f"const {C_TYPES[self.type(name)]} *restrict {name} = p->constants[{place}];"]
        if kind in ("s", "m", "z"):
            type, number = C_TYPES[self.type(name)], tables.array_number(name)
            return [f"{type} *restrict {name} = ({type} *)(w->state + p->offsets[{number}]);"]
        if kind in ("r", "n", "x"):
            return self.row_pointer(name, "const real", "", found, lines)
        if kind == "o":
            number = name[2:]
            type = C_TYPES[tables.output_types[int(number)]]
            row = f"(k/{tables.output_every(int(number))} - p->output_first[{number}])*p->batch + w->b"
            place = f"({row})*p->output_columns[{number}]"
            return [f"{type} *restrict {name} = ({type} *)p->outputs[{number}] + {place};"]
        if kind == "g":
            number = name[2:]
            row = f"(k/{tables.output_every(int(number))} - p->output_first[{number}])*p->batch + w->b"
            type = f"const {C_TYPES[tables.output_types[int(number)]]} *"
            given = f"({type})p->grad_outputs[{number}] + ({row})*p->output_columns[{number}]"
            return [f"{type}restrict {name} = p->output_given[{number}] ? {given} : ({type})w->zeros;"]
        return self.gradient_pointer(name, kind, found, lines)

    def gradient_pointer(self, name, kind, found, lines):
        tables = self.tables
        if kind == "e":
            number = self.event_number(name[2:])
            return [f"real *restrict {name} = ring_slot(w, {number}, w->trial->spikes[{number}].count - 1);"]
        array = name[2:]
        if array[0] == "z":
            number = self.event_number(array)
            return [f"real *restrict {name} = ring_slot(w, {number}, w->trial->spikes[{number}].count - 1);"]
        if array[0] == "y":
            tables.grid_gradients.add(int(array[2:]))
            return [f"real *restrict {name} = (real *)(w->gradient + p->grid_offsets[{array[2:]}]);"]
        if array[0] == "c":
            type = "double" if tables.is_shared(array[2:]) else "real"
            place = f"p->gradient_offsets[{tables.constant_number(array)}]"
            return [f"{type} *restrict {name} = ({type} *)(w->gradient + {place});"]
        if array[0] in "rx":
            return self.row_pointer(array, "real", "d_", found, lines)
        number = tables.array_number(array)
        return [f"real *restrict {name} = (real *)(w->adjoint + p->offsets[{number}]);"]

    def row_pointer(self, name, type, prefix, found, lines):
        """Pointer to this step's row of an input or of random numbers, or of their gradients."""
        tables = self.tables
        source, number, text = tables.rows[name.replace("n_", "r_")]
        if source == "noise" and tables.noise_type(number) == "wide":
            type = "const double"
        arrays = ("grad_" if prefix else "") + ("inputs" if source == "input" else "noise")
        trials = f"p->{source}_trials[{number}]"
        columns = f"p->{source}_columns[{number}]"
        row = f"({text})" if source == "input" else f"({text} - p->noise_first[{number}])"
        place = f"({row}*{trials} + ({trials} > 1 ? w->b : 0))*{columns}"
        used = [n for n in POINTER.findall(text)]
        declared = [line for used_name in used for line in self.pointer(used_name, found, lines)]
        pointer = f"({type} *)p->{arrays}[{number}] + {place}"
        if number < len(tables.noise_keys) and arrays == "noise":
            whole = f"drawn_row(w, {number}, {text}, sizeof({type}))"
            drawn = f"start_row(w, {number})" if name[0] == "n" else whole
            pointer = f"p->draws[{number}] ? ({type} *){drawn} : {pointer}"
        restrict = "" if name[0] == "n" else "restrict "  # the numbers of a part come one after the other
        return [*declared, f"{type} *{restrict}{prefix}{name} = {pointer};"]


def place_of(effect):
    """C text of the element that an effect changes."""
    return f"{effect.array}[{effect.index}[i]]" if effect.index else f"{effect.array}[i]"


def plain_line(effect):
    """Line of an effect on an element's own value."""
    array = f"o_{effect.array}" if effect.kind == "record" else effect.array
    return f"{array}[i] = {effect.value.name};"


def scatter_line(effect, text):
    """Line of an effect on an element that an index names."""
    operator = {"put": "=", "add": "+=", "multiply": "*=", "assign": "="}[effect.kind]
    condition = f"if ({effect.mask.name} > 0.5) " if effect.mask is not None else ""
    return f"{condition}{effect.array}[{effect.index}[i]] {operator} {text};"
