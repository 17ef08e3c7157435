"""What a step puts on the tape: the values that it overwrites and that its adjoint reads."""

__all__ = ["event_that_changes", "taped_of"]


def taped_of(parts, read, adjoints, filters):
    """Arrays that each body puts on the tape before it changes them.

    The backward pass goes through all bodies in reverse, step after step. What a body takes from the tape is
    there for its own adjoint and for those before it, until another body takes the whole array from the tape.
    If none of these adjoints reads the array, it need not be on the tape.

    Parameters
    ----------
    parts : sequence of Part
    read : list of list of Body
        The bodies of each part.
    adjoints : dict of int to Adjoints
        By the identity of the body.
    filters : dict of int to Filter
        By the identity of each of their bodies: the backward pass solves these otherwise.

    Returns
    -------
    dict of int to set of str
        By the identity of the body. Copies that an adjoint reads are among them.
    """
    stages = [
        (bodies, part)
        for part, own in zip(parts, read, strict=True)
        for bodies in ([own] if part.block.turns else [[body] for body in own])
    ]
    replaced = [  # whole, in every step
        set()
        if part.block.kind == "pathway" or part.every > 1
        else {a for body in bodies for a in _changed(body) if event_that_changes(body, a) is None}
        for bodies, part in stages
    ]
    used = [
        {array for body in bodies if id(body) not in filters for array in _used(body, adjoints[id(body)])}
        for bodies, _ in stages
    ]

    def is_read(place, array):
        """Whether an adjoint reads the array as it was before the bodies at this place changed it."""
        for step in range(len(stages)):
            before = (place - step) % len(stages)
            if step and array in replaced[before]:
                return False
            if array in used[before]:
                return True
        return False

    taped = {}
    for place, (bodies, _) in enumerate(stages):
        for body in bodies:
            before = {array for array in _changed(body) if is_read(place, array)}
            taped[id(body)] = before | used[place] & set(body.copies)
    return taped


def _changed(body):
    return {effect.array for effect in body.effects if effect.kind not in ("record", "event")}


def _used(body, adjoints):
    """Arrays whose values the adjoint of a body uses."""
    values = [v for reverse in filter(None, adjoints) for v in reverse.values]
    used = {v.symbol for v in values if v.op in ("own", "at", "shared") and v.symbol[0] in "sm"}
    used |= {array for copy, array in body.copies.items() if copy in used}
    multiplied = (e for e in body.effects if e.kind == "multiply")
    return used | {e.array for e in multiplied if e.value.type in ("real", "wide")}


def event_that_changes(body, array):
    """The event without which an element of an array stays as it is, as in a reset; or None."""
    effects = [effect for effect in body.effects if effect.array == array]
    if [effect.kind for effect in effects] != ["store"] or body.shared:
        return None
    events, value = set(), effects[0].value
    while value.op in ("where", "select"):
        condition, _, kept = value.arguments
        if value.op == "where":
            if (condition.op, condition.symbol) != ("compare", ">") or condition.arguments[1].symbol != "0.5":
                return None
            condition = condition.arguments[0]
        events.add(condition.symbol if condition.op == "own" else "")
        value = kept
    is_kept = value.op == "own" and value.symbol == array
    return events.pop() if is_kept and len(events) == 1 and min(events).startswith("z_") else None
