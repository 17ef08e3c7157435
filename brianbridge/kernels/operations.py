"""Every operation of a loop body in C, and its derivative."""

from brianbridge.kernels.values import C_TYPES, FLOATING, NotCompilable

__all__ = ["FUNCTIONS", "cast", "derivatives", "in_c"]

ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*"}
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")

#: Functions of one argument: name in C, and derivative in terms of the argument x and the value y.
FUNCTIONS = {
    "abs": ("fabs", "({x} > 0) - ({x} < 0)"),
    "arccos": ("acos", "-1/sqrt(1 - {x}*{x})"),
    "arcsin": ("asin", "1/sqrt(1 - {x}*{x})"),
    "arctan": ("atan", "1/(1 + {x}*{x})"),
    "cos": ("cos", "-sin({x})"),
    "cosh": ("cosh", "sinh({x})"),
    "exp": ("exp", "{y}"),
    "expm1": ("expm1", "({y} + 1)"),
    "exprel": ("exprel", "exprel_derivative({x})"),
    "log": ("log", "1/{x}"),
    "log10": ("log10", "(real)0.43429448190325182765/{x}"),
    "log1p": ("log1p", "1/(1 + {x})"),
    "sign": ("sign", None),
    "sin": ("sin", "cos({x})"),
    "sinh": ("sinh", "cosh({x})"),
    "sqrt": ("sqrt", "1/(2*{y})"),
    "tan": ("tan", "(1 + {y}*{y})"),
    "tanh": ("tanh", "(1 - {y}*{y})"),
}
#: Operations through which a gradient passes as it is, by the positions of the arguments that get it.
TRANSPARENT = {"cast": (0,), "guarded": (0,)}


def cast(value, type):
    """C text of a value, converted if its type is another one."""
    return value.name if value.type == type else f"({C_TYPES[type]}){value.name}"


def in_c(value):
    """C text that computes a value from its arguments."""
    op, type, arguments = value.op, value.type, value.arguments
    if op in ARITHMETIC:
        left, right = (cast(a, type) for a in arguments)
        return f"{left} {ARITHMETIC[op]} {right}"
    if op in COMPARISONS or op == "compare":
        operator = value.symbol if op == "compare" else op
        meeting = value.index
        left, right = (f"({C_TYPES[meeting]}){a.name}" for a in arguments)
        return f"{left} {operator} {right}"
    if op in ("where", "select"):
        condition, new, old = arguments
        test = f"{condition.name} > 0.5" if op == "select" else condition.name
        return f"{test} ? {cast(new, type)} : {cast(old, type)}"
    if op == "masked":
        mask, new = arguments
        return f"{mask.name} > 0.5 ? {cast(new, type)} : 0"
    if op in FUNCTIONS:
        return f"{FUNCTIONS[op][0]}({cast(arguments[0], type)})"
    if op in TRANSPARENT:
        if type == "bool" and arguments[0].type != "bool":
            return f"{arguments[0].name} != 0"
        return cast(arguments[0], type)
    simple = {
        "divide": "{0} / {1}",
        "times reciprocal": "{0} * {2}",
        "negative": "-{0}",
        "power": "power({0}, {1})",
        "maximum": "maximum({0}, {1})",
        "minimum": "minimum({0}, {1})",
        "and": "{0} & {1}",
        "or": "{0} | {1}",
        "not": "!{0}",
        "guard": "{0}",
    }
    if op in simple:
        return simple[op].format(*(cast(a, type) for a in arguments))
    names = [a.name for a in arguments]
    if op in ("floor_divide", "modulo"):
        kind = "" if type in FLOATING else "whole_"
        left, right = (cast(a, type) for a in arguments)
        return f"({C_TYPES[type]}){kind}{op}({left}, {right})"
    if op == "poisson_quantile":
        return f"poisson_quantile({', '.join(names)})"
    if op in ("int", "floor", "ceil"):
        inner = names[0] if op == "int" else f"{op}({names[0]})"
        return f"({C_TYPES[type]})({inner})"
    if op == "timestep":
        time, dt = arguments
        floating = "wide" if "real" not in (time.type, dt.type) or "wide" in (time.type, dt.type) else "real"
        time, dt = cast(time, floating), cast(dt, floating)
        return f"(int64_t)(({time} + ({C_TYPES[floating]})1e-3*{dt})/{dt})"
    raise NotCompilable(f"the operation {op}")


def derivatives(value, upstream):
    """Contributions to the gradients of a value's arguments.

    Parameters
    ----------
    value : Value
    upstream : str
        C identifier of the gradient of the value.

    Returns
    -------
    list of (Value, str, tuple of Value)
        Argument, C text, and the values that the text uses.
    """
    op, arguments = value.op, value.arguments
    if op in TRANSPARENT:
        return [(arguments[i], upstream, ()) for i in TRANSPARENT[op]]
    if op in FUNCTIONS:
        rule = FUNCTIONS[op][1]
        (x,) = arguments
        text = rule and rule.format(x=cast(x, value.type), y=value.name)
        return [(x, f"{upstream}*({text})", (x, value))] if rule else []
    rule = RULES.get(op)
    return [] if rule is None else rule(value, upstream, *arguments)


def _product(value, d, a, b):
    return [(a, f"{d}*{cast(b, value.type)}", (b,)), (b, f"{d}*{cast(a, value.type)}", (a,))]


def _quotient(value, d, a, b):
    divisor = cast(b, value.type)
    return [(a, f"{d}/{divisor}", (b,)), (b, f"-{d}*{value.name}/{divisor}", (value, b))]


def _times_reciprocal(value, d, a, b, inverse):
    return [
        (a, f"{d}*{inverse.name}", (inverse,)),
        (b, f"-{d}*{value.name}*{inverse.name}", (value, inverse)),
    ]


def _power(value, d, a, b):
    base, exponent = cast(a, value.type), cast(b, value.type)
    return [
        (a, f"{d}*power_to_base({base}, {exponent})", (a, b)),
        (b, f"{d}*power_to_exponent({base}, {value.name})", (a, value)),
    ]


def _where(value, d, condition, new, old):
    return [
        (new, f"{condition.name} ? {d} : 0", (condition,)),
        (old, f"{condition.name} ? 0 : {d}", (condition,)),
    ]


def _select(value, d, mask, new, old):
    """With the gradient of ``old + mask*(new - old)``; what is not finite is not used."""
    return [
        (mask, f"{d}*finite_or_zero({cast(new, value.type)} - {cast(old, value.type)})", (new, old)),
        (new, f"{mask.name} > 0.5 ? {d} : 0", (mask,)),
        (old, f"{mask.name} > 0.5 ? 0 : {d}", (mask,)),
    ]


def _masked(value, d, mask, new):
    return [
        (mask, f"{d}*finite_or_zero({cast(new, value.type)})", (new,)),
        (new, f"{mask.name} > 0.5 ? {d} : 0", (mask,)),
    ]


def _compare(value, d, a, b):
    """The spike gradient at the distance from threshold; `Value.index` is the type in which they meet."""
    if not value.gradient:
        return []
    distance = f"({C_TYPES[value.index]}){a.name} - ({C_TYPES[value.index]}){b.name}"
    sign = "-" if value.symbol in ("<", "<=") else ""
    slope = value.gradient.format(x=f"{sign}({distance})")
    return [(a, f"{sign}{d}*{slope}", (a, b)), (b, f"-({sign}{d}*{slope})", (a, b))]


def _extremum(sign):
    def rule(value, d, a, b):
        """At a tie each gets half, as in PyTorch."""
        x, y = cast(a, value.type), cast(b, value.type)
        share = f"({{0}} {sign} {{1}} ? 1 : {{0}} == {{1}} ? (real)0.5 : 0)"
        return [(a, f"{d}*{share.format(x, y)}", (a, b)), (b, f"{d}*{share.format(y, x)}", (a, b))]

    return rule


def _modulo(value, d, a, b):
    x, y = cast(a, value.type), cast(b, value.type)
    return [(a, d, ()), (b, f"-{d}*({C_TYPES[value.type]})floor_divide({x}, {y})", (a, b))]


def _guard(value, d, a):
    """An argument of something that may be singular where it is not used: there it gets nothing."""
    return [(a, f"d_{value.owner.name} == 0 ? 0 : {d}", ())]


RULES = {
    "add": lambda value, d, a, b: [(a, d, ()), (b, d, ())],
    "subtract": lambda value, d, a, b: [(a, d, ()), (b, f"-{d}", ())],
    "negative": lambda value, d, a: [(a, f"-{d}", ())],
    "multiply": _product,
    "divide": _quotient,
    "times reciprocal": _times_reciprocal,
    "power": _power,
    "where": _where,
    "select": _select,
    "masked": _masked,
    "compare": _compare,
    "maximum": _extremum(">"),
    "minimum": _extremum("<"),
    "modulo": _modulo,
    "guard": _guard,
}
