"""The gradient audit: refuse to train what no gradient can reach."""

import ast

from brianbridge.model.refusals import Refusal

__all__ = ["audit"]

#: Functions whose derivative is zero wherever it exists.
FLAT = frozenset({"int", "floor", "ceil", "sign", "timestep"})


def audit(model, program):
    """Find trained parameters that no gradient can reach.

    A parameter passes if, following the statements of the program, a change of its value changes a state or an
    event in a differentiable way: through ordinary arithmetic, through a threshold condition (by the spike
    gradient), or through what an event triggers.

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
    for trainable in model.trainable:
        if any(_reaches_something(program, target) for target in trainable.targets):
            continue
        group, variable = trainable.targets[0]
        lines = _lines_that_read(program, f"{group}.{variable}")
        if lines:
            construct = f"'{variable}' cannot be trained: it enters only through {' and '.join(lines[:2])}"
            construct += ", whose derivative is zero wherever it exists"
        else:
            construct = f"'{variable}' cannot be trained: no equation of the network reads it"
        refusals.append(Refusal(group, construct, "leave it out of train=, or rewrite the equation"))
    return refusals


def _reaches_something(program, target):
    start = f"{target[0]}.{target[1]}" if target[0] else f"input {target[1]}"
    reached = {start}
    grew = True
    while grew:
        before = len(reached)
        for number, block in enumerate(program.blocks):
            _propagate(block, number, reached)
        grew = len(reached) > before
    return len(reached) > 1


def _propagate(block, number, reached):
    """Add to `reached` what the lines of a block make depend on it, differentiably."""

    def key(identifier):
        name = block.names.get(identifier)
        if name is None:
            return f"local {number} {identifier}"
        return f"input {name.key}" if name.kind == "timed input" else name.key

    triggered = block.kind in ("pathway", "reset") and f"event {block.event}" in reached
    for line in block.lines:
        condition = block.kind == "threshold" and line.kind == "boolean"
        sources = {key(identifier) for identifier in differentiable_names(line.expression, condition)}
        if (triggered and line.variable in block.names) or sources & reached:
            written = key(line.variable)
            if line.kind == "float" or condition:
                reached.add(written)
    if block.kind == "threshold" and key("_cond") in reached:
        reached.add(f"event {block.event}")
    if block.kind == "summed" and key("_synaptic_var") in reached:
        reached.add(block.target)


def differentiable_names(expression, condition=False):
    """Names in an expression through which a gradient can pass.

    Parameters
    ----------
    expression : str
    condition : bool
        The expression is a threshold condition: its comparisons have a spike gradient.

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
            if node.func.id not in FLAT:
                for argument in node.args:
                    visit(argument)
        elif (isinstance(node, ast.Compare) and not condition) or (
            isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv)
        ):
            return
        else:
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(expression.strip(), mode="eval").body)
    return names


def _lines_that_read(program, key):
    """The statements in which an array is read, as text."""
    lines = []
    for block in program.blocks:
        for line in block.lines:
            for node in ast.walk(ast.parse(line.expression.strip(), mode="eval")):
                name = block.names.get(node.id) if isinstance(node, ast.Name) else None
                if name is not None and name.key == key and name.kind == "array":
                    lines.append(f"{line.variable} {line.operation.strip(':')} {line.expression}")
                    break
    return list(dict.fromkeys(f"'{line}'" for line in lines))
