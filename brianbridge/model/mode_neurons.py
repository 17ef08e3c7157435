"""Weights of low rank as neurons: each mode sums over the population and gives its sum back to all.

The cost of a step then grows with N P instead of N^2, in Brian2 as in the surrogate.
"""

from dataclasses import dataclass, replace

import numpy as np
import sympy
from brian2.equations.equations import PARAMETER, SUBEXPRESSION, parse_string_equations
from brian2.parsing.expressions import parse_expression_dimensions
from brian2.parsing.statements import parse_statement
from brian2.parsing.sympytools import str_to_sympy, sympy_to_str

from brianbridge.model.constraints import Free, Trainable
from brianbridge.model.equation_text import statements, unit_text
from brianbridge.model.groups import Neurons, Operation, Pathway, Projection
from brianbridge.model.low_rank import LowRank, end_size
from brianbridge.model.naming import trainable_name
from brianbridge.model.rebuild import unrun

__all__ = ["as_modes"]

RANDOM = {"rand", "randn", "poisson"}  # one number for each synapse


def as_modes(model, *weights):
    """The same network, in which weights of low rank are a group of P neurons between both ends.

    In place of ``rec`` it has a group ``rec_modes`` with the variables ``kappa`` (the sum of a mode) and
    ``score``, and the projections ``rec_xi_out`` to it and ``rec_xi_in`` from it with weights ``w``; these
    and the scores are trained.

    Parameters
    ----------
    model : Model
        As of ``bb.wrap(net, train={rec.w: bb.LowRank(3)})``, or ``trained.model``.
    *weights : VariableView or str
        Which weights; default are all of low rank.

    Returns
    -------
    Model
        It takes the same steps but for rounding: sums are added in another order.

    Raises
    ------
    ValueError
        If weights do not act through one sum over synapses (``I_post = w*r_pre (summed)``) or one addition at
        a spike (``I_post += w``), if not all pairs are connected, or if weights have a mask.
    UnknownName
        If something is named that is not trained.
    """
    low_rank = [t.name for t in model.trainable if isinstance(t.constraint, LowRank)]
    names = [trainable_name(key, model) for key in weights] or low_rank
    if not names:
        raise ValueError("This model has no weights of low rank: wrap(net, train={rec.w: bb.LowRank(3)}).")
    for name in names:
        if name not in low_rank:
            raise ValueError(f"{name} is not of low rank: wrap(net, train={{{name}: bb.LowRank(3)}}).")
    for trainable in model.trainable:
        if trainable.name in names:
            model = _with_mode_neurons(model, trainable)
    return model


def _with_mode_neurons(model, trainable):
    """Replace one projection."""
    group = model[trainable.targets[0][0]]
    _check_projection(model, group, trainable)
    rule = _rule(model, group, trainable)
    names = {f"{group.name}_{part}" for part in ("modes", "xi_out", "xi_in")}
    taken = names & {other.name for other in model.groups}
    if taken:
        raise ValueError(f"The model has a group {taken.pop()!r} already, the name of what takes its place.")
    neurons = _ModeNeurons(group, trainable, rule)
    model = neurons.prepared(model)
    groups = []
    for other in model.groups:
        groups += neurons.groups() if other.name == group.name else [other]
    trainables = []
    for other in model.trainable:
        trainables += neurons.trainables() if other.name == trainable.name else [other]
    monitors = tuple(monitor for monitor in model.monitors if monitor.group != group.name)
    return replace(model, groups=tuple(groups), trainable=tuple(trainables), monitors=monitors)


def _check_projection(model, group, trainable):
    """One weight for every pair, and nothing else that belongs to the synapses."""
    n_pre, n_post = end_size(model, group.source), end_size(model, group.target)
    if group.n < n_pre * n_post:
        raise ValueError(
            f"{group.name} connects {group.n} of {n_pre * n_post} pairs of neurons; modes connect all of "
            "them: connect() without a condition and p."
        )
    if trainable.constraint.mask is not None:
        raise ValueError(f"{trainable.name} has a mask: weights of its own cannot come from modes.")
    onto = [
        g.name for g in model.groups if group.name in (getattr(g, "source", ""), getattr(g, "target", ""))
    ]
    links = [g.name for g in model.groups if group.name in {link.group for link in g.links.values()}]
    if onto or links or group.operations or any(len(pathway.under_way) for pathway in group.pathways):
        raise ValueError(
            f"{group.name} cannot become modes: other objects ({', '.join(onto + links) or 'run_regularly'}) "
            "refer to its synapses, or events are under way."
        )


# -- what the weights do ------------------------------------------------------------------------------


@dataclass
class _Rule:
    """``variable`` of the target takes up weight times what the source gives times what the target says.

    Attributes
    ----------
    source, target : str
        The two factors, as text.
    dimensions, unit : Dimension, str
        Those of the first factor; the unit of the variable.
    pathway : Pathway or None
        When spikes bring it; None for a sum in every step.
    """

    variable: str
    source: str
    target: str
    dimensions: object
    unit: str
    pathway: Pathway | None


def _rule(model, group, trainable):
    """Read the one place in which the weights are used."""
    weight = trainable.targets[0][1]
    equations = parse_string_equations(group.equations)
    sums = {name: eq for name, eq in equations.items() if eq.type == SUBEXPRESSION and "summed" in eq.flags}
    others = [name for name, eq in equations.items() if name != weight and eq.type != PARAMETER]
    others = [name for name in others if name not in sums]
    if others or len(sums) + len(group.pathways) != 1:
        raise ValueError(
            f"{group.name} does more than to multiply by {weight}: modes can stand for one sum "
            f"(I_post = {weight}*r_pre (summed)) or one addition at a spike (I_post += {weight})."
        )
    if sums:
        ((variable, equation),) = sums.items()
        return _factors(model, group, weight, variable, equation.expr.code, None)
    (pathway,) = group.pathways
    lines = statements(pathway.code)
    variable, operation, expression, _ = parse_statement(lines[0])
    delays = np.unique(pathway.delay)
    if len(lines) > 1 or operation != "+=" or pathway.prepost != "pre" or len(delays) != 1:
        raise ValueError(
            f"{group.name}: {'; '.join(lines)!r} is not one addition at presynaptic spikes with one delay, "
            f"such as 'I_post += {weight}'."
        )
    pathway = replace(pathway, delay=np.array(delays[0]))
    return _factors(model, group, weight, variable, expression, pathway)


def _factors(model, group, weight, variable, expression, pathway):
    """Split an expression into the weight, what depends on the source, and what depends on the target."""
    symbol = sympy.Symbol(weight, real=True)
    whole = str_to_sympy(expression)
    rest = sympy.diff(whole, symbol)
    if symbol in rest.free_symbols or whole.subs(symbol, 0) != 0:
        raise ValueError(f"{group.name}: {expression!r} is not proportional to {weight}.")
    rest = sympy.factor(rest) if isinstance(rest, sympy.Add) else rest
    parts = {"source": [], "target": []}
    for factor in sympy.Mul.make_args(rest):
        ends = {_end(model, group, str(name)) for name in factor.free_symbols} - {None}
        drawn = {function.func.__name__ for function in factor.atoms(sympy.Function)} & RANDOM
        if len(ends) > 1 or "synapse" in ends or drawn:
            raise ValueError(
                f"{group.name}: {str(factor)!r} in {expression!r} does not belong to source or target alone. "
                "Modes can stand for a product of the weight, a factor of the presynaptic and one of "
                "the postsynaptic neuron."
            )
        parts["target" if "target" in ends else "source"].append(factor)
    source, target = (sympy_to_str(sympy.Mul(*factors)) for factors in parts.values())
    dimensions = _dimensions(model, group, source)
    variable = variable.removesuffix("_post")
    unit = unit_text(model.dimensions((group.target[0], variable)))
    return _Rule(variable, source, target, dimensions, unit, pathway)


def _end(model, group, name):
    """What a name in the code of synapses belongs to: source, target, synapse, or None for a constant."""
    if name.endswith("_pre"):
        return "source"
    if name.endswith("_post"):
        return "target"
    if name in group.values or name in ("i", "j"):
        return "synapse"
    target = model[group.target[0]]
    known = {*target.values, *target.subexpressions()}
    return "target" if name in known and name not in group.constants else None


def _dimensions(model, group, text):
    live = unrun(model)
    names = {str(name) for name in str_to_sympy(text).atoms(sympy.Symbol)}
    functions = {f.func.__name__ for f in str_to_sympy(text).atoms(sympy.Function)}
    known = live[group.name].resolve_all(names | functions, run_namespace={})
    return parse_expression_dimensions(text, known)


# -- what takes its place -----------------------------------------------------------------------------


@dataclass
class _ModeNeurons:
    """The group of modes and its two projections."""

    group: Projection
    trainable: Trainable
    rule: _Rule

    @property
    def drive(self):
        """Where spikes leave what the modes give: a variable that is added to the target in the same step."""
        return f"{self.rule.variable}_from_{self.group.name}"

    @property
    def slot(self):
        """Slot and order in which the projection acts."""
        pathway = self.rule.pathway
        role = f"summed {self.rule.variable}_post" if pathway is None else f"pathway {pathway.name}"
        return self.group.schedule[role]

    def prepared(self, model):
        """The model whose target adds what a spike brought, once the modes have given it."""
        if self.rule.pathway is None:
            return model
        target, (when, order, active) = model[self.group.target[0]], self.slot
        line = f"{self.drive} : {self.rule.unit}"
        _, start, stop = self.group.target
        addition = Operation(
            name=f"{self.group.name}_addition",
            code=f"{self.rule.variable} += {self.drive}",
            dt=None,
            when=when,
            order=order + 2,
            active=active,
            part=None if start is None else (start, stop),
        )
        return model.with_group(
            replace(
                target,
                equations=f"{target.equations}\n{line}",
                values={**target.values, self.drive: np.zeros(target.n)},
                operations=(*target.operations, addition),
            )
        )

    def groups(self):
        return [self.modes(), self.xi_out(), self.xi_in()]

    def modes(self):
        """One neuron for each mode; at a spike it is emptied as soon as it has given its sum."""
        name, (when, order, active) = f"{self.group.name}_modes", self.slot
        emptying = Operation(
            name=f"{name}_emptied",
            code="kappa = 0",
            dt=None,
            when=when,
            order=order + 2,
            active=active,
            part=None,
        )
        constraint = self.trainable.constraint
        lines = (
            f"kappa : {unit_text(self.rule.dimensions)}",
            f"score : {unit_text(self.trainable.dimensions)} (constant)",
        )
        return Neurons(
            name=name,
            n=constraint.modes,
            equations="\n".join(lines),
            method="euler",
            method_options={},
            dt=self.group.dt,
            order=self.group.order,
            schedule={"state updater": ("groups", self.group.order, True)},
            values={"kappa": np.zeros(constraint.modes), "score": np.asarray(constraint.scores)},
            events={},
            codes={},
            refractory=False,
            operations=() if self.rule.pathway is None else (emptying,),
        )

    def xi_out(self):
        """From the source to the modes."""
        gives = self.rule.source if self.rule.source != "1" else ""
        term = f"w*({gives})" if gives else "w"
        when, order, active = self.slot
        equations, pathways = "w : 1 (constant)", ()
        if self.rule.pathway is None:
            equations += f"\nkappa_post = {term} : {unit_text(self.rule.dimensions)} (summed)"
            schedule = {"summed kappa_post": (when, order - 1, active)}
        else:
            pathways = (replace(self.rule.pathway, code=f"kappa_post += {term}"),)
            schedule = {f"pathway {self.rule.pathway.name}": (when, order, active)}
        xi = self.trainable.constraint.xi_out
        ends = dict(source=self.group.source, target=(f"{self.group.name}_modes", None, None))
        return self._projection("xi_out", xi, equations, pathways, schedule, ends)

    def xi_in(self):
        """From the modes to the target."""
        variable = self.rule.variable if self.rule.pathway is None else self.drive
        takes = f"*({self.rule.target})" if self.rule.target != "1" else ""
        given = f"w*score_pre*kappa_pre{takes} : {self.rule.unit} (summed)"
        equations = f"w : 1 (constant)\n{variable}_post = {given}"
        when, order, active = self.slot
        after = 0 if self.rule.pathway is None else 1
        schedule = {f"summed {variable}_post": (when, order + after, active)}
        xi = self.trainable.constraint.xi_in.T
        ends = dict(source=(f"{self.group.name}_modes", None, None), target=self.group.target)
        return self._projection("xi_in", xi, equations, (), schedule, ends)

    def _projection(self, name, weights, equations, pathways, schedule, ends):
        """All to all; `weights` has one row for each presynaptic neuron."""
        i, j = (index.ravel() for index in np.indices(weights.shape))
        return replace(
            self.group,
            name=f"{self.group.name}_{name}",
            equations=equations,
            pathways=pathways,
            schedule=schedule,
            values={"w": weights.ravel()},
            i=i.astype(self.group.i.dtype),
            j=j.astype(self.group.j.dtype),
            **ends,
        )

    def trainables(self):
        name, unit = self.group.name, self.trainable.constraint.unit
        return [
            Trainable(((f"{name}_xi_in", "w"),), Free()),
            Trainable(((f"{name}_modes", "score"),), Free(unit=unit), self.trainable.dimensions),
            Trainable(((f"{name}_xi_out", "w"),), Free()),
        ]
