"""Read the expressions of a generated step as values of a loop body."""

import ast

from brianbridge.kernels.operations import FUNCTIONS
from brianbridge.kernels.tables import COMPARISONS
from brianbridge.kernels.values import WEAK, NotCompilable, promoted

__all__ = ["ExpressionReader", "is_gather"]

BINARY = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "modulo",
    ast.BitAnd: "and",
    ast.BitOr: "or",
}
WHOLE = {"int": "int", "floor": "int", "ceil": "int", "timestep": "long"}


class ExpressionReader:
    """Reads expressions; `Reader` knows the loop that they are in, and what names stand for there."""

    def expression(self, node):
        if self.is_number(node):
            text, kind = self.tables.number(self.inlined(node))
            return self.body.value("number", kind, symbol=text)
        return getattr(self, type(node).__name__)(node)

    def inlined(self, node):
        """A number with local names replaced by what they stand for."""
        here = self

        class Inline(ast.NodeTransformer):
            def visit_Name(self, node):
                local = here.locals.get(node.id)
                return self.visit(local) if isinstance(local, ast.AST) else node

        return Inline().visit(ast.parse(ast.unparse(node), mode="eval").body)

    def number(self, text):
        return self.body.value("number", "whole", symbol=text)

    def cast(self, value, type):
        return value if value.type == type else self.body.value("cast", type, value)

    def Name(self, node):
        if node.id in self.locals:
            body, value = self.locals[node.id]
            return value if body is self.body else self.carried(body, value)
        tables = self.tables
        if tables.changes(node.id):
            how = ("shared",) if tables.is_shared(node.id) else ("own",)
            return self.present.get((node.id, how)) or self.leaf(how[0], node.id)
        return self.leaf("shared" if tables.is_shared(node.id) else "own", node.id)

    def leaf(self, op, name, index=""):
        symbol = self.tables.symbol(name)
        varied = self.tables.varies(symbol)
        return self.body.value(op, self.tables.type(name), symbol=symbol, index=index, varied=varied)

    def BinOp(self, node):
        left, right = self.expression(node.left), self.expression(node.right)
        op = BINARY[type(node.op)]
        kind = promoted(left.type, right.type)
        if op == "divide":
            return self.quotient(left, right, kind)
        return self.body.value(op, kind, left, right)

    def quotient(self, left, right, kind):
        """In single precision, division by a constant is multiplication by its reciprocal."""
        kind = kind if kind in ("real", "wide") else "real"
        constant = right.op in ("own", "shared") and right.symbol.startswith("c_") and right.type == "real"
        if not (constant and kind == "real" and self.tables.is_single):
            return self.body.value("divide", kind, left, right)
        symbol = self.tables.reciprocal(right.symbol)
        inverse = self.body.value(right.op, "real", symbol=symbol)
        return self.body.value("times reciprocal", kind, left, right, inverse)

    def UnaryOp(self, node):
        operand = self.expression(node.operand)
        if isinstance(node.op, ast.UAdd):
            return operand
        return self.body.value("negative", promoted(operand.type, "whole"), operand)

    def Compare(self, node):
        left, right = self.expression(node.left), self.expression(node.comparators[0])
        return self.comparison(COMPARISONS[type(node.ops[0])], "bool", left, right)

    def comparison(self, symbol, kind, left, right, op="compare", varied=False):
        meeting = promoted(left.type, right.type)
        return self.body.value(op, kind, left, right, symbol=symbol, index=meeting, varied=varied)

    def IfExp(self, node):
        kept, condition = self.expression(node.body), self.expression(node.test)
        return self.body.value("where", kept.type, condition, kept, self.number("0"))

    def Subscript(self, node):  # N[key][step]
        key, (step, _) = node.value.slice.value, self.tables.number(node.slice)
        if node.value.value.id == "X":  # spikes of a SpikeGeneratorGroup
            row, index = self.tables.given_events(key.removeprefix("spikes "), step), ""
        else:
            row, index = self.tables.noise(key, step, self.part.block)
        type = self.tables.noise_type(int(row[2:]))
        return self.body.value("row", type, symbol=row, index=index, varied=self.tables.varies(row))

    def Call(self, node):
        if is_gather(node):
            return self.gather(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        owner = ast.unparse(node.func.value) if name else ""
        if name == "to":  # x.to(y.dtype)
            return self.cast(self.expression(node.func.value), self.expression(node.args[0].value).type)
        if owner == "torch" and name == "where":
            return self.where(*node.args)
        if owner != "ops":
            raise NotCompilable(
                f"{ast.unparse(node.func)}() of {self.part.block.name} is written for PyTorch"
            )
        if name in FUNCTIONS:
            value = self.expression(node.args[0])
            kind = value.type if value.type in ("real", "wide") else "real"
            return self.body.value(name, kind, value)
        if hasattr(self, f"call_{name}"):
            return getattr(self, f"call_{name}")(*node.args)
        raise NotCompilable(f"{name}() in {self.part.block.name}")

    def gather(self, node):
        if not isinstance(node.func.value, ast.Name):
            raise NotCompilable(f"an indexed expression in {self.part.block.name}")
        name, text = node.func.value.id, ast.unparse(node.args[1])
        known = self.present.get((name, ("at", text)))
        return known or self.leaf("at", name, self.tables.index(text))

    def where(self, condition, new, old):
        condition, new, old = map(self.expression, (condition, new, old))
        kind = promoted(*("real" if v.type in WEAK else v.type for v in (new, old)))
        return self.body.value("where", kind, condition, new, old)

    call_where = where

    def selected(self, mask, new, old, flows=True):
        return self.select(*map(self.expression, (mask, new, old)), flows)

    def select(self, mask, new, old, flows=True):
        if old.type not in ("real", "wide"):
            flows = False
        if not flows and mask.varied:
            mask = self.comparison(">", "bool", mask, self.body.value("number", "number", symbol="0.5"))
            mask.varied = False
            return self.body.value("where", old.type, mask, new, old)
        return self.body.value("select", old.type, mask, new, old)

    def call_select(self, mask, new, old):
        return self.selected(mask, new, old)

    def call_reset(self, mask, new, old):
        return self.selected(mask, new, old, flows=self.tables.reset_gradient)

    def call_decay(self, mask, new, old):
        return self.selected(mask, new, old, flows=False)

    def call_masked(self, mask, value):
        mask, value = self.expression(mask), self.expression(value)
        kind = value.type if value.type in ("real", "wide") else "real"
        return self.body.value("masked", kind, mask, value)

    def call_compare(self, left, right, operator, gradient):
        left, right = self.expression(left), self.expression(right)
        text = self.tables.spike_gradient(ast.literal_eval(gradient.slice))
        varied = bool(text) and (left.varied or right.varied)
        value = self.comparison(operator.value, "real", left, right, varied=varied)
        value.gradient = text
        return value

    def call_cast(self, value, like):
        return self.cast(self.expression(value), self.expression(like).type)

    call_full = call_cast

    def call_soft(self, value):
        value = self.expression(value)
        return self.cast(value, "real") if value.type in ("bool", "truth") else value

    def call_real(self, value):
        return self.cast(self.expression(value), "real")

    def call_tensor(self, value):
        value = self.expression(value)
        return self.cast(value, "real") if value.type in WEAK else value

    def call_negate(self, value):
        return self.body.value("not", "bool", self.expression(value))

    def call_quotient(self, left, right):
        left, right = self.expression(left), self.expression(right)
        return self.quotient(left, right, promoted(left.type, right.type))

    def call_whole_quotient(self, left, right, op="floor_divide"):
        left, right = self.expression(left), self.expression(right)
        return self.body.value(op, promoted(left.type, right.type), left, right)

    def call_whole_remainder(self, left, right):
        return self.call_whole_quotient(left, right, "modulo")

    def call_power(self, base, exponent):
        base, exponent = self.expression(base), self.expression(exponent)
        kind = promoted(base.type, exponent.type)
        return self.body.value("power", kind if kind in ("real", "wide") else "real", base, exponent)

    call_power_of_numbers = call_power

    def call_clip(self, value, low, high):
        value, low, high = map(self.call_tensor, (value, low, high))
        kind = promoted(value.type, low.type, high.type)
        above = self.body.value("maximum", kind, value, low)
        return self.body.value("minimum", kind, above, high)

    def whole(self, op, *arguments):
        return self.body.value(op, WHOLE[op], *map(self.expression, arguments), varied=False)

    def call_int(self, value):
        return self.whole("int", value)

    def call_floor(self, value):
        return self.whole("floor", value)

    def call_ceil(self, value):
        return self.whole("ceil", value)

    def call_timestep(self, time, dt):
        return self.whole("timestep", time, dt)

    def call_poisson_quantile(self, probability, mean):
        probability, mean = (self.cast(self.call_tensor(x), "wide") for x in (probability, mean))
        return self.body.value("poisson_quantile", "int", probability, mean, varied=False)

    def call_guarded(self, function, *arguments):
        """A function that may be singular where it is not used."""
        guards, before = [], dict(self.locals)
        for parameter, argument in zip(function.args.args, arguments):
            value = self.call_tensor(argument)
            guard = self.body.value(
                "guard", value.type, value, symbol=f"{ast.unparse(function)} {parameter.arg}"
            )
            guards.append(guard)
            self.locals[parameter.arg] = self.body, guard
        inner = self.expression(function.body)
        self.locals = before
        outer = self.body.value("guarded", inner.type, inner)
        for guard in guards:
            guard.owner = outer
        return outer

    def call_lookup(self, rows, time, dt, upsampling, columns=None):
        key = rows.slice.value
        column = self.tables.column(key, columns, self.part.block.size)
        if self.is_number(time):
            row = self.tables.input_row(key, self.inlined(time), dt, upsampling)
            return self.body.value("row", "real", symbol=row, index=column, varied=self.tables.varies(row))
        arguments = [self.cast(self.expression(x), "wide") for x in (time, dt, upsampling)]
        rows = self.tables.input(key)
        return self.body.value(
            "lookup", "real", *arguments, symbol=rows, index=column, varied=self.tables.varies(rows)
        )


def is_gather(node):
    """Whether a node reads elements of an array by an index: ``x.index_select(...)``."""
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "index_select"
