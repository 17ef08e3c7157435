"""Walk a network in Brian2's schedule order and collect its `Program`."""

import re

import numpy as np
from brian2 import Clock, SpikeGeneratorGroup, Synapses, second
from brian2.codegen.codeobject import create_runner_codeobj
from brian2.codegen.permutation_analysis import OrderDependenceError
from brian2.groups.group import CodeRunner
from brian2.groups.neurongroup import Resetter, Thresholder
from brian2.parsing.bast import brian_dtype_from_dtype
from brian2.stateupdaters.base import UnsupportedEquationsException
from brian2.synapses.synapses import SummedVariableUpdater, SynapticPathway
from brian2.units.fundamentalunits import DimensionMismatchError
from brian2.utils.stringtools import get_identifiers

from brianbridge.generation.arrays import Arrays
from brianbridge.generation.codeobject import StatementsCodeObject
from brianbridge.generation.common_step import common_step
from brianbridge.generation.program import Block, Line, Program, SpikeTable
from brianbridge.generation.random_numbers import Draw, number_draws, runner_name
from brianbridge.generation.statement_checks import (
    needs_turns,
    refuse_disputed_writes,
    refuse_renamed_arrays,
    refuse_repeated_writes,
)
from brianbridge.model.groups import SpikeTimes
from brianbridge.model.rebuild import unrun
from brianbridge.model.refusals import Refusal, Refused
from brianbridge.model.spike_queue import delay_steps, under_way
from brianbridge.model.spike_times import repeated_spike_refusals

__all__ = ["block_of", "program_of", "refusals_of_code", "statements_of"]

#: State updaters whose intermediate results divide by ``int(not_refractory)``.
DIVIDING_METHODS = ("exponential_euler", "exact", "linear", "independent")


def program_of(model, live):
    """Collect the program of a rebuilt network.

    Parameters
    ----------
    model : Model
    live : brianbridge.model.rebuild.Live
        The network rebuilt from it. Its groups carry all external names in their own namespaces.

    Returns
    -------
    Program

    Raises
    ------
    Refused
        Listing every object whose code cannot be bridged.
    """
    arrays = Arrays(live.inputs)
    blocks, refusals = [], []
    for obj in live.network.sorted_objects:
        if isinstance(obj, CodeRunner) and obj.active:
            try:
                block = _block(obj, arrays)
            except Refused as refused:
                refusals += refused.refusals
            else:
                if block is not None:
                    blocks.append(block)
    dt, unaligned = common_step(live)
    table = arrays.table(blocks)
    refusals += unaligned + _changing_indices(blocks, table)
    refusals += [
        r for group in model.groups if isinstance(group, SpikeTimes) for r in repeated_spike_refusals(group)
    ]
    if refusals:
        raise Refused(refusals)
    return Program(
        blocks=tuple(blocks),
        arrays=table,
        inputs={timed.name: timed for timed in model.inputs},
        events={
            f"{group.name}.{event}": len(group)
            for group in live.groups.values()
            for event in getattr(group, "events", {})
            if not isinstance(group, Synapses)
        },
        dt=dt,
        start=int(Clock(dt * second)._calc_timestep(model.time)),
        spike_tables={
            f"{group.name}.spike": _spike_table(group)
            for group in live.groups.values()
            if isinstance(group, SpikeGeneratorGroup)
        },
        samplers=arrays.samplers,
    )


def _changing_indices(blocks, table):
    """Linked variables whose index is not that of the start for ever."""
    return [
        Refusal(
            block.name,
            f"it reads '{identifier}' through the index '{name.index}', which the network itself changes",
            "link it through an index that stays as it is",
        )
        for block in blocks
        for identifier, name in block.names.items()
        if name.index and table[name.index].role == "state"
    ]


def _spike_table(group):
    """Spike times in steps, rounded as Brian2 does."""
    dt = group.clock.dt_
    steps = ((np.asarray(group._spike_time) + 1e-3 * dt) / dt).astype(int)
    return SpikeTable(
        steps,
        np.asarray(group._neuron_index),
        round(group.variables["period"].get_value().item() / dt),
        len(group),
    )


def refusals_of_code(model):
    """What program generation would refuse in a model, as a list that may be empty."""
    if not model.groups:
        return []
    live = unrun(model)
    try:
        program_of(model, live)
    except Refused as refused:
        return list(refused.refusals)
    return []


# -- blocks -------------------------------------------------------------------------------------------


def _block(obj, arrays):
    """The block of one runner, or None where it has nothing to do."""
    code = _abstract_code(obj)
    if isinstance(obj, SynapticPathway):
        if len(obj.synapses) == 0:
            return None
        special = dict(
            kind="pathway",
            event=_event(obj.source, obj.event),
            delays=_delay_steps(obj),
            under_way=np.array(under_way(obj)),
            sources=arrays.key(obj.synapse_sources),
            decays=_event_driven(obj.synapses),
            text=obj.code,
        )
    elif isinstance(obj, SummedVariableUpdater):
        stop = obj.template_kwds["_target_stop"]
        special = dict(
            kind="summed",
            target=arrays.key(obj.target_var),
            target_index=arrays.key(obj.template_kwds["_index_var"]),
            target_range=(obj.template_kwds["_target_start"], None if stop < 0 else stop),
            text=f"{obj.target_varname} = {obj.expression.code}",
        )
    elif isinstance(obj, Thresholder):
        refractory = obj.template_kwds["_uses_refractory"]
        if refractory:
            arrays.key(obj.group.variables["not_refractory"])
            arrays.key(obj.group.variables["lastspike"])
        special = dict(
            kind="threshold",
            event=_event(obj.group, obj.event),
            sets_refractory=refractory,
            text=obj.group.events[obj.event],
        )
    elif isinstance(obj, Resetter):
        special = dict(
            kind="reset", event=_event(obj.group, obj.event), text=obj.group.event_codes[obj.event]
        )
    elif isinstance(obj, SpikeGeneratorGroup):
        special = dict(kind="generator", event=_event(obj, "spike"))
    elif obj.template == "stateupdate":
        if not code.strip():
            return None
        special = dict(kind="update", frozen=_frozen_names(obj), text=obj.user_code or code)
    else:
        raise Refused([Refusal(obj.name, f"code of the kind {obj.template!r}", "write it as an equation")])
    statements = statements_of(
        obj.group,
        code,
        runner_name(obj),
        getattr(obj, "variables", None),
        obj.template,
        needed=obj.needed_variables,
        keywords=obj.template_kwds,
        override=obj.override_conditional_write,
    )
    _refuse_by_execution(statements, special["kind"], runner_name(obj), special.get("text") or code)
    return block_of(
        statements,
        arrays,
        name=runner_name(obj),
        group=obj.group.name,
        size=len(obj.group),
        slot=obj.when,
        order=obj.order,
        dt=obj.clock.dt_,
        group_dt=obj.group.clock.dt_,
        **special,
    )


def _refuse_by_execution(statements, kind, name, text):
    """Refuse what Brian2's targets do differently."""
    if kind == "pathway":
        refuse_disputed_writes(statements, name, text)
    else:
        refuse_repeated_writes(statements, name, text)
    written = {line.var for line in statements["statements"] if line.op != ":="}
    through_others = any(statements["indices"].get(variable, "_idx") != "_idx" for variable in written)
    if kind != "pathway" or not through_others:  # else every statement works on fresh copies
        refuse_renamed_arrays(statements, name, text, in_place=kind == "update")


def _abstract_code(obj):
    """What the runner does in one step; what Brian2 itself would not run is refused in its words."""
    try:
        obj.update_abstract_code(run_namespace={})
    except (KeyError, UnsupportedEquationsException, DimensionMismatchError) as error:
        message = str(error.args[0] if error.args else error)
        raise Refused([Refusal(obj.name, message, "mend it until Brian2 itself runs the network")]) from None
    return obj.abstract_code


def statements_of(group, code, name, variables, template, needed=(), keywords=None, override=None):
    """Let Brian2 turn abstract code into optimised statements; its complaints become refusals.

    Parameters
    ----------
    group : brian2.Group
        Whose names the code uses.
    code, name : str
        Abstract code, and the name of the object that runs it.
    variables : dict or None
        Variables of the object's own.
    template, needed, keywords, override
        As Brian2 hands them to its code generator.

    Returns
    -------
    dict
        What `StatementsCodeObject` makes of it, with the variables, their indices and the draws.

    Raises
    ------
    Refused
    """
    external = {**group.namespace, **(variables or {})}
    code, draws = number_draws(code, name, group, external)
    try:
        codeobject = create_runner_codeobj(
            group=group,
            code=code,
            template_name=template,
            run_namespace=draws,
            name=f"{name}_statements*",
            check_units=False,
            additional_variables=variables or None,
            needed_variables=list(needed),
            template_kwds=dict(keywords or {}),
            override_conditional_write=override,
            codeobj_class=StatementsCodeObject,
        )
    except OrderDependenceError:
        raise Refused(
            [
                Refusal(
                    name,
                    f"the result of {code.strip()!r} depends on the order in which synapses are visited",
                    "split it so that no line reads what another synapse's line writes",
                )
            ]
        ) from None
    except NotImplementedError as error:
        raise Refused([_missing_function(name, code, error)]) from None
    except KeyError as error:
        raise Refused(
            [Refusal(name, str(error.args[0]), "define the name before wrapping the network")]
        ) from None
    codeobject.code["draws"] = {f"{name}/{d.number}": d for d in draws.values() if isinstance(d, Draw)}
    codeobject.code["variables"] = codeobject.variables
    codeobject.code["indices"] = codeobject.variable_indices
    return codeobject.code


def _missing_function(name, code, error):
    named = re.search(r"function '(\w+)'", str(error))  # Brian2's own words
    which = f"the function '{named.group(1)}'" if named else str(error)
    return Refusal(
        name,
        f"{which} in {code.strip()!r} has no torch implementation",
        "add one: @implementation('torch', lambda x: ...) above the function, with torch operations",
    )


def block_of(statements, arrays, **fields):
    """Make a block of statements.

    Parameters
    ----------
    statements : dict
        As returned by `statements_of`.
    arrays : Arrays
        Where the arrays that they use are entered.
    **fields
        Of the `Block`, besides lines, names and gates.

    Returns
    -------
    Block
    """
    variables, indices = statements["variables"], statements["indices"]
    arrays.samplers |= {key: draw.sample for key, draw in statements["draws"].items() if draw.sample}
    names = {}
    for line in statements["statements"]:
        for identifier in sorted(get_identifiers(line.expr) | {line.var}):
            if identifier in variables and identifier not in names:
                meaning = arrays.name(identifier, variables, indices)
                if meaning is not None:
                    names[identifier] = meaning
    gates = {v: gate for v, gate in statements["gates"].items() if v in names and gate in variables}
    for gate in gates.values():
        names[gate] = arrays.name(gate, variables, indices)
    lines = tuple(_line(statement) for statement in statements["statements"])
    locals_ = {line.variable for line in lines}
    for name in [n for n in names if n in locals_ and names[n].kind != "array"]:
        del names[name]  # a local that hides an external name
    if fields["kind"] == "pathway" and needs_turns(statements):
        fields["turns"] = tuple(sorted({names[v].index for v in locals_ & set(names) if names[v].index}))
    return Block(lines=lines, names=names, gates=gates, **fields)


def _line(statement):
    """Keep the split by a boolean variable exactly where Brian2's numpy target uses it."""
    split = {}
    booleans = statement.used_boolean_variables
    if (
        booleans is not None
        and len(booleans) == 1
        and brian_dtype_from_dtype(statement.dtype) == "float"
        and statement.complexity_std > sum(statement.complexities.values())
    ):
        simplified = {key[0][1]: text for key, text in statement.boolean_simplified_expressions.items()}
        split = dict(boolean=booleans[0], when_true=simplified[True], when_false=simplified[False])
    return Line(
        variable=statement.var,
        operation=statement.op,
        expression=str(statement.expr),
        kind=brian_dtype_from_dtype(statement.dtype),
        **split,
    )


def _event(group, event):
    whole = getattr(group, "source", group)
    return f"{whole.name}.{event}"


def _delay_steps(pathway):
    """Delays in steps: one number where all are the same."""
    delays = np.asarray(pathway.variables["delay"].get_value(), dtype=float)
    steps = delay_steps(delays, pathway.source.clock.dt_)
    return steps[:1] if steps.size and np.all(steps == steps[0]) else steps


def _event_driven(synapses):
    if synapses.event_driven is None:
        return frozenset()
    return frozenset(synapses.event_driven.diff_eq_names)


def _frozen_names(updater):
    """Intermediate names of variables that stand still while refractory.

    Exponential Euler and exact integration divide by ``int(not_refractory)`` there; the quotient is 0/0 but
    never used, except by the gradient, which it would turn into NaN.
    """
    method = getattr(updater, "method_choice", ())  # the updater of subexpressions has none
    methods = method if isinstance(method, tuple | list) else (method,)
    if not any(m in DIVIDING_METHODS for m in methods):
        return frozenset()
    equations = updater.group.equations
    still = {eq.varname for eq in equations.values() if "unless refractory" in eq.flags}
    names = {f"_{name}" for name in still} | {f"_BA_{name}" for name in still}
    used = set(re.findall(r"\w+", updater.abstract_code))
    return frozenset(names & used)
