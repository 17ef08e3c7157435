"""The gradient audit: refuse to train what no gradient can reach."""

import ast

from brian2.equations.equations import SUBEXPRESSION, parse_string_equations

from brianbridge.model.refusals import Refusal

__all__ = ["audit"]

#: Functions whose derivative is zero wherever it exists, or that take no gradient to their arguments.
FLAT = frozenset({"int", "floor", "ceil", "sign", "timestep"})


def audit(model, program):
    """Find trained parameters that no gradient can reach.

    A parameter passes if, following the statements of the program, a change of its value changes a state, an
    event or a subexpression (which can be recorded) in a differentiable way: through ordinary arithmetic,
    through a threshold condition (by the spike gradient), or through what an event triggers.

    Parameters
    ----------
    model : Model
        With its trainables.
    program : Program

    Returns
    -------
    list of Refusal
        One for every parameter without a path, quoting the line in which it ends.
    """
    refusals = []
    sums = {block.target: block.text for block in program.blocks if block.kind == "summed"}
    for trainable in model.trainable:
        if trainable.name in sums:
            refusals.append(_overwritten(trainable, sums[trainable.name]))
            continue
        if any(_reaches_something(model, program, target) for target in trainable.targets):
            continue
        group, variable = trainable.targets[0]
        lines = [line for g, v in trainable.targets for line in _lines_that_read(model, program, _key(g, v))]
        if lines:
            construct = f"'{variable}' cannot be trained: it enters only through {' and '.join(lines[:2])}"
            construct += ", whose derivative is zero wherever it exists"
        elif group and model[group].n == 0:
            construct = f"'{variable}' cannot be trained: {group} is empty"
        else:
            construct = f"'{variable}' cannot be trained: no equation of the network depends on its value"
        refusals.append(Refusal(group, construct, "leave it out of train=, or rewrite the equation"))
    return refusals


def _overwritten(trainable, text):
    group, variable = trainable.targets[0]
    return Refusal(
        group,
        f"'{variable}' cannot be trained: its value is overwritten in every step by the sum '{text}'",
        "train the variables in the sum",
    )


def _key(group, variable):
    return f"{group}.{variable}" if group else f"input {variable}"


def _reaches_something(model, program, target):
    """Whether a state, event or recordable subexpression depends on the target, differentiably."""
    sources, results = {_key(*target)}, set()  # what carries the change; where it can be seen
    before = -1
    while not results and len(sources) > before:
        before = len(sources)
        for number, block in enumerate(program.blocks):
            _propagate(block, number, sources, results)
    return bool(results) or any(
        names.get(name) in sources
        for names, inputs, expression in _subexpressions(model)
        for name in differentiable_names(expression, inputs=inputs)
    )


def _propagate(block, number, sources, results):
    """Add what the lines of a block make depend on `sources`: local names; states and events as results."""

    def key(identifier):
        name = block.names.get(identifier)
        if name is None:
            return f"local {number} {identifier}"
        return f"input {name.key}" if name.kind == "timed input" else name.key

    def changed(written):
        sources.add(written)
        results.add(written)

    inputs = [identifier for identifier, name in block.names.items() if name.kind == "timed input"]
    triggered = block.kind in ("pathway", "reset") and f"event {block.event}" in sources
    for line in block.lines:
        condition = block.kind == "threshold" and line.kind == "boolean"
        read = differentiable_names(line.expression, condition, inputs)
        if line.operation not in ("=", ":="):
            read.add(line.variable)
        if line.kind != "float" and not condition:
            continue
        written = key(line.variable)
        if (triggered and line.variable in block.names) or {key(name) for name in read} & sources:
            changed(written) if line.variable in block.names else sources.add(written)
    if block.kind == "threshold" and key("_cond") in sources:
        changed(f"event {block.event}")
    if block.kind == "summed" and key("_synaptic_var") in sources:
        changed(block.target)


def differentiable_names(expression, condition=False, inputs=()):
    """Names in an expression through which a gradient can pass.

    Parameters
    ----------
    expression : str
    condition : bool
        The expression is a threshold condition: its comparisons have a spike gradient.
    inputs : collection of str
        Timed inputs: a gradient reaches their values, not the time at which they are read.

    Returns
    -------
    set of str
    """
    names = set()

    def visit(node):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Call):
            names.add(node.func.id)
            if node.func.id not in FLAT and node.func.id not in inputs:
                for argument in node.args:
                    visit(argument)
        elif (isinstance(node, ast.Compare | ast.BoolOp) and not condition) or (
            isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv)
        ):
            return
        else:
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(expression.strip(), mode="eval").body)
    return names


def _subexpressions(model):
    """The subexpressions of all groups: what their names refer to, their timed inputs, and their text."""
    for group in model.groups:
        equations = parse_string_equations(group.equations)
        names = {name: f"{group.name}.{name}" for name in group.values}
        names |= {identifier: f"input {name}" for identifier, name in group.inputs.items()}
        for end in ("source", "target"):
            if hasattr(group, end):
                owner = model[getattr(group, end)[0]]
                side = {"source": "_pre", "target": "_post"}[end]
                names |= {f"{name}{side}": f"{owner.name}.{name}" for name in owner.values}
        for equation in equations.values():
            if equation.type == SUBEXPRESSION and "summed" not in equation.flags:
                yield names, group.inputs, equation.expr.code


def _lines_that_read(model, program, key):
    """The statements in which an array is read, as text."""
    lines = []
    for block in program.blocks:
        for line in block.lines:
            names = {block.names.get(name) for name in _names(line.expression)}
            if any(n is not None and n.key == key and n.kind == "array" for n in names):
                lines.append(f"{line.variable} {line.operation.strip(':')} {line.expression}")
    for names, _, expression in _subexpressions(model):
        if any(names.get(name) == key for name in _names(expression)):
            lines.append(expression)
    return list(dict.fromkeys(f"'{line}'" for line in lines))


def _names(expression):
    return {
        node.id for node in ast.walk(ast.parse(expression.strip(), mode="eval")) if isinstance(node, ast.Name)
    }
