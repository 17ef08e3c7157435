"""Sums over a grid that are a product of a matrix with a vector: forward, and back."""

from brianbridge.kernels.loops import forward_lines, reverse_of, used_values
from brianbridge.kernels.operations import cast
from brianbridge.kernels.row_loops import RowLoops
from brianbridge.kernels.values import Body, Effect, Value

__all__ = ["MatrixLoops"]

NARROW = 16  # columns: less than a vector of single precision


class MatrixLoops(RowLoops):
    """Writes sums and gradients of events as products of matrices with vectors."""

    def matrix_sums(self, body, grid, factors):
        """A sum whose summands are a synapse's constant times something of its source.

        Parameters
        ----------
        body : Body
        grid : Grid
        factors : (Value, list of Value)
            The constant, and what it is multiplied with.

        Returns
        -------
        forward, backward : list of (str, list of str)
            Blocks, see `_Parts.block`.
        """
        weights, others = factors
        target = body.effects[0].array
        changed = [target] if target in self.taped[id(body)] else []
        self.pushed += changed
        matrix = self.tables.grid_constant(weights.symbol, grid)
        sources = Lines(self, grid, body, others, inner=body.effects[0].index != f"i_{grid.inner}")
        to_columns = not sources.inner
        self.buffers = max(self.buffers, 3)
        before = [f"if (w->taping) push(w, {a}, {self.bytes(a)});" for a in changed]
        before += [self.clear(cleared, "") for cleared in body.cleared] + sources.vector(0)
        forward = [("", before), *self.multiply(weights, grid if to_columns else grid.transposed, 0, 1)]
        forward.append(("", self.added(grid, target, 1, to_columns)))
        return forward, self.matrix_gradients(body, grid, weights, matrix, sources, changed)

    def matrix_gradients(self, body, grid, weights, matrix, sources, changed):
        target, to_columns = body.effects[0].array, not sources.inner
        backward = [("", [f"pop(w, {a}, {self.bytes(a)});" for a in changed])]
        if target in self.tables.varied:
            copied = self.copied(grid, f"d_{target}", 1, to_columns)
            backward.append(("", [*sources.vector(0), *copied]))
            if sources.varied:
                backward += self.multiply(weights, grid.transposed if to_columns else grid, 1, 2)
                backward.append(("", sources.gradients(2)))
            if weights.varied:
                rows, columns = (0, 1) if to_columns else (1, 0)
                backward.append(("", self.kept_products(grid, matrix, rows, columns)))
            backward.append(("", [self.clear(c, "d_") for c in body.cleared]))
        return backward

    # -- vectors and matrices -------------------------------------------------------------------------

    def line(self, grid, inner):
        """Name of the element, and C text of the size, along the rows or the columns."""
        return ("column", grid.columns) if inner else ("row", grid.rows)

    def copied(self, grid, array, buffer, inner):
        _, size = self.line(grid, inner)
        return [
            f"memcpy(vector(w, {buffer}), {array}, {self.whole(size)}*sizeof(real));",
            f"pad(vector(w, {buffer}), {self.whole(size)});",
        ]

    def added(self, grid, array, buffer, inner):
        name, size = self.line(grid, inner)
        return [
            f"const real *restrict sums = vector(w, {buffer});",
            f"const int64_t n = {self.whole(size)};",
            "#pragma omp simd",
            f"for (int64_t {name} = 0; {name} < n; ++{name}) {array}[{name}] += sums[{name}];",
        ]

    def multiply(self, weights, grid, given, result):
        """Product of a vector of every trial, along the rows, with the matrix."""
        narrow = grid.columns < NARROW
        matrix = self.tables.grid_constant(weights.symbol, grid.transposed if narrow else grid)
        sparse = self.tables.sparse_constant(weights.symbol, grid)
        call = f"{'multiply_narrow(' if narrow else f'multiply({sparse}, lanes, '}{matrix}"
        return [
            ("", [f"clear_vector(w, {result}, {self.whole(grid.columns)});"]),
            (
                "",
                [
                    "if (m == 0) {",
                    "const real *vectors[TRIALS_TOGETHER]; real *out[TRIALS_TOGETHER];",
                    "for (int64_t j = 0; j < count; ++j)",
                    f"  vectors[j] = vector(lanes + j, {given}), out[j] = vector(lanes + j, {result});",
                    f"const int64_t rows = {self.whole(grid.rows)}, columns = {self.whole(grid.columns)};",
                    f"{call}, rows, columns, count, vectors, out);",
                    "}",
                ],
            ),
        ]

    def kept_products(self, grid, matrix, rows, columns):
        """Keep two vectors, whose outer product is added to the gradient of the matrix later."""
        number = len(self.products)
        sizes = f"{self.whole(grid.rows)}, {self.whole(grid.columns)}"
        self.products.append((matrix, sizes))
        return [
            f"keep_product(lanes, {number}, {sizes}, vector(w, {rows}), vector(w, {columns}), d_{matrix});"
        ]

    def finish(self):
        """C function that adds what is left of the products."""
        lines = []
        for number, (matrix, sizes) in enumerate(self.products):
            call = f"add_products(lanes, {number}, {sizes}, d_{matrix});"
            lines += ["{", "Work *w = lanes; const Problem *p = w->p;", *self.pointers(call), call, "}"]
        return "\n".join(["static void finish_backward(Work *lanes) {", *lines, "}"])

    # -- gradients of events --------------------------------------------------------------------------

    def dot_rows(self, grid, body, e, delay, factors):
        """Gradient to the events where it is a product of a matrix with what reaches the targets."""
        blocks = []
        for effect, weights, others in factors:
            values = used_values(body, others)
            product = "*".join([f"d_{effect.array}[column]", *(cast(v, "real") for v in others)])
            inner = self.on_grid(grid, body, [*forward_lines(values), f"given[column] = {product};"])
            self.buffers = max(self.buffers, 2)
            matrix = self.tables.grid_constant(weights.symbol, grid)
            transposed = self.tables.grid_constant(weights.symbol, grid.transposed)
            sparse = self.tables.sparse_constant(weights.symbol, grid.transposed)
            vector = ["real *restrict given = vector(w, 0);", *self.columns(grid, inner)]
            vector.append("pad(given, columns);")
            slot = f"ring_slot(lanes + j, {e}, lanes[j].trial->spikes[{e}].count - 1 - {delay})"
            call = [
                "if (m == 0) {",
                "const real *vectors[TRIALS_TOGETHER]; real *sums[TRIALS_TOGETHER], *out[TRIALS_TOGETHER];",
                "const uint8_t *wanted[TRIALS_TOGETHER];",
                "for (int64_t j = 0; j < count; ++j) {",
                f"  vectors[j] = vector(lanes + j, 0), sums[j] = vector(lanes + j, 1), out[j] = {slot};",
                f"  wanted[j] = marked(lanes + j, {e}, lanes[j].trial->spikes[{e}].count - 1 - {delay});",
                "}",
                f"const int64_t rows = {self.whole(grid.rows)}, columns = {self.whole(grid.columns)};",
                f"multiply_wanted({sparse}, lanes, {matrix}, {transposed}, rows, columns, count, "
                "vectors, sums, out, wanted);",
                "}",
            ]
            blocks += [("", vector), ("", call)]
        return blocks


class Lines:
    """Factors of a sum that depend on its source only, along the rows or the columns of a grid."""

    def __init__(self, writing, grid, body, factors, inner):
        self.writing, self.grid, self.body, self.inner = writing, grid, body, inner
        self.name, self.size = writing.line(grid, inner)
        self.values = used_values(body, factors)
        self.product, self.chain = factors[0], []
        for factor in factors[1:]:
            varied = self.product.varied or factor.varied
            name = f"p{len(self.chain)}"
            self.product = Value("multiply", "real", (self.product, factor), varied=varied, name=name)
            self.chain.append(self.product)

    @property
    def varied(self):
        return self.product.differentiable

    def loop(self, lines, clause="", simd=True):
        name, inner = self.name, self.writing.on_grid(self.grid, self.body, lines)
        return [
            f"const int64_t n = {self.writing.whole(self.size)};",
            *([f"#pragma omp simd{clause}"] if simd else []),
            f"for (int64_t {name} = 0; {name} < n; ++{name}) {{",
            *(f"  {line}" for line in inner),
            "}",
        ]

    def vector(self, buffer):
        """The product of the factors, in a buffer."""
        lines = forward_lines([*self.values, *self.chain])
        lines.append(f"line[{self.name}] = {cast(self.product, 'real')};")
        return ["{", f"real *restrict line = vector(w, {buffer});", *self.loop(lines), "pad(line, n);", "}"]

    def gradients(self, buffer):
        """What a gradient of the product, in a buffer, says about what it is made of."""
        whole = Body(values=[*self.values, *self.chain], effects=[Effect("store", "line", self.product)])
        reverse = reverse_of(whole)
        lines = forward_lines(reverse.values) + reverse.lines
        lines = [line.replace("d_line[i]", f"upstream[{self.name}]") for line in lines]
        lines += [f"d_{array}[{element}] += {text};" for array, element, text in reverse.scattered]
        elements = self.writing.on_grid(
            self.grid, self.body, [element for _, element, _ in reverse.scattered]
        )
        simd = all(element == self.name for element in elements)  # several may lead to one element
        sums = list(reverse.shared)
        lines += [f"sum_{j} += {reverse.shared[array]};" for j, array in enumerate(sums)]
        names = ", ".join(f"sum_{j}" for j in range(len(sums)))
        return [
            f"const real *restrict upstream = vector(w, {buffer});",
            *(f"real sum_{j} = 0;" for j in range(len(sums))),
            *self.loop(lines, f" reduction(+: {names})" if sums else "", simd),
            *(f"d_{array}[0] += sum_{j};" for j, array in enumerate(sums)),
        ]
