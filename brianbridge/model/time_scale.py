"""Multiply time constants, and rescale what must go with them so that the network is the same, only slower.

A state x that followed x(t) is to follow x(t/s). Then its drift is divided by s, its noise by the root of s
(the stationary spread stays), and jumps at spikes stay as they are (where a jump is charge/tau, the charge
grows with tau). Inputs are left alone.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
import sympy
from brian2.equations.equations import (
    DIFFERENTIAL_EQUATION,
    SUBEXPRESSION,
    Equations,
    parse_string_equations,
)
from brian2.parsing.statements import parse_statement
from brian2.parsing.sympytools import str_to_sympy
from brian2.units import hertz, second
from brian2.units.fundamentalunits import get_unit
from sympy.core.function import AppliedUndef

from brianbridge.model.constraints import Bounds
from brianbridge.model.equation_text import statements
from brianbridge.model.groups import Neurons, Projection
from brianbridge.model.naming import UnknownName, variable_name

__all__ = ["Rescaled", "rescale_time"]

_S = sympy.Symbol("_s", positive=True)


@dataclass(frozen=True, eq=False)
class Rescaled:
    """A model with other time constants, and the account of what went with them.

    Attributes
    ----------
    model : Model
    scaled : tuple of str
        What was multiplied.
    changed : tuple of str
        Noise and jumps that were rescaled with it: object, before, and after.
    kept : tuple of str
        States that keep their own pace, since nothing in their equations was named.
    """

    model: object
    scaled: tuple
    changed: tuple
    kept: tuple

    def __str__(self):
        lines = [f"scaled:  {', '.join(self.scaled)}"]
        lines += [f"changed: {text}" for text in self.changed]
        lines += [f"kept:    {', '.join(self.kept)}"] if self.kept else []
        return "\n".join(lines)

    __repr__ = __str__


def rescale_time(model, factor, *names, dt=False):
    """Multiply time constants by a factor, with the noise and the charge of spikes that belong to them.

    Parameters
    ----------
    model : Model or Trained
    factor : float
        3 makes the network three times slower.
    *names : VariableView or str
        Time constants (or rates, which are divided): variables (``cells.tau_m``), constants of the equations
        (``'tau_syn'``), ``'cells.refractory'``, ``'rec.delay'``.
    dt : bool
        Whether the time step is multiplied too. If everything that takes time is named, the network then
        takes the same steps as before.

    Returns
    -------
    Rescaled
        Its ``model`` is the network; printed, it says what was changed.

    Raises
    ------
    ValueError
        If something else in the same equations does not become slower with what was named, or cannot be
        rescaled; quotes it and says what to name too.
    UnknownName
        If the model has nothing of this name.

    Examples
    --------
    >>> slow = bb.rescale_time(bb.load("li2020"), 3, "cells.tau_m", "cells.tau_r", "rec.tau")
    >>> print(slow)
    """
    model = getattr(model, "model", model)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < np.inf:
        raise ValueError(f"rescale_time: the factor is {factor!r}; expected a number above 0.")
    if not names:
        raise ValueError("rescale_time: name the time constants, such as cells.tau_m.")
    scaled = [target for key in names for target in _targets(key, model)]
    powers = {target: _power(model, target) for target in scaled}
    account = _Rewriting(model, float(factor), powers)
    groups = tuple(account.group(group) for group in model.groups)
    new = replace(model, groups=groups, trainable=tuple(account.trainable(t) for t in model.trainable))
    new = new.with_dt(new.dt * factor) if dt else new
    return Rescaled(
        new, tuple(dict.fromkeys(map(".".join, scaled))), tuple(account.changed), tuple(sorted(account.kept))
    )


# -- what is named ------------------------------------------------------------------------------------


def _targets(key, model):
    """Every (group, name) that a key stands for."""
    if isinstance(key, str) and "." not in key:
        trained = {target for t in model.trainable for target in t.targets if target[0]}
        users = [g.name for g in model.groups if key in g.constants or (g.name, key) in trained]
        if users:
            return [(name, key) for name in users]
    if isinstance(key, str):
        owner, _, name = key.rpartition(".")
        group = next((g for g in model.groups if g.name == owner and name not in g.values), None)
        if name == "delay" and isinstance(group, Projection):
            return [(owner, name)]
        if name == "refractory" and isinstance(getattr(group, "refractory", None), float):
            return [(owner, name)]
    group, name = variable_name(key, model)
    if name not in model[group].values:
        raise UnknownName(f"{group}.{name} is computed by the network; name what it depends on.")
    return [(group, name)]


def _power(model, target):
    """1 for times, -1 for rates."""
    group, name = target
    if name in ("delay", "refractory") and name not in model[group].values:
        return 1
    constant = model[group].constants.get(name)
    dimensions = model.dimensions(target) if constant is None else constant.dimensions
    if dimensions not in (second.dim, hertz.dim):
        raise ValueError(
            f"{group}.{name} is in {get_unit(dimensions)!r}: only times, in second, and rates, in hertz, are "
            "rescaled. Noise and charge follow by themselves."
        )
    return 1 if dimensions == second.dim else -1


# -- what goes with it --------------------------------------------------------------------------------


class _Rewriting:
    """Rewrites group by group, and keeps account."""

    def __init__(self, model, factor, powers):
        self.model, self.factor, self.powers = model, factor, powers
        self.changed, self.kept = [], []
        self._written = {group.name: _written_out(group) for group in model.groups}
        self.slowed = {  # states whose equations hold something that was named
            (group.name, name)
            for group in model.groups
            for name, expression in self._differential(group).items()
            if self._scaled(group, str_to_sympy(expression.code)) is not None
        }

    def group(self, group):
        """The group with other values, noise and jumps."""
        self._check_others(group)
        equations = self._equations(group)
        values, constants = dict(group.values), dict(group.constants)
        for (owner, name), power in self.powers.items():
            if owner == group.name and name in values:
                values[name] = values[name] * self.factor**power
            elif owner == group.name and name in constants:
                value = constants[name].value * self.factor**power
                constants[name] = replace(constants[name], value=value)
        group = replace(group, equations=equations, values=values, constants=constants)
        if isinstance(group, Projection):
            delay = self.factor if (group.name, "delay") in self.powers else 1
            pathways = tuple(
                replace(p, code=self._code(group, p.code), delay=p.delay * delay) for p in group.pathways
            )
            return replace(group, pathways=pathways)
        if isinstance(group, Neurons):
            codes = {event: self._code(group, code) for event, code in group.codes.items()}
            longer = self.factor if (group.name, "refractory") in self.powers else 1
            refractory = group.refractory * longer if longer != 1 else group.refractory
            return replace(group, codes=codes, refractory=refractory)
        return group

    def trainable(self, trainable):
        """Bounds of what was rescaled move with it."""
        power = self.powers.get(trainable.targets[0])
        bounds = trainable.constraint
        if power is None or not isinstance(bounds, Bounds):
            return trainable
        low, high = (bound * self.factor**power for bound in (bounds.low, bounds.high))
        return trainable.with_constraint(
            Bounds(low, high, tie=bounds.tie, mask=bounds.mask, unit=bounds.unit)
        )

    def _equations(self, group):
        """Equations whose drift is slower by what was named, and whose noise goes with it."""
        lines = {}
        for name, expression in self._differential(group).items():
            if (group.name, name) not in self.slowed:
                self.kept.append(f"{group.name}.{name}")
                continue
            drift, noise = expression.split_stochastic()
            self._check_drift(group, name, drift.code)
            for xi, amplitude in (noise or {}).items():
                found = self._ratio(group, amplitude.code)
                if found is None:
                    raise ValueError(
                        f"{group.name}: the noise {amplitude.code}*{xi} of {name} does not change by a "
                        "factor alone with what was named."
                    )
                lines[name] = lines.get(name, []) + [(xi, self.factor**-0.5 / found)]
        return "\n".join(self._with_noise(group, line, lines) for line in group.equations.split("\n"))

    def _with_noise(self, group, line, noise):
        state = re.match(r"\s*d(\w+)/dt", line)
        for xi, correction in noise.get(state.group(1), []) if state else []:
            if np.isclose(correction, 1, rtol=1e-12):
                continue
            new = re.sub(rf"\b{xi}\b", f"({correction!r}*{xi})", line)
            if new == line:
                raise ValueError(f"{group.name}: write {xi} into the equation of {state.group(1)} itself.")
            self.changed.append(f"{group.name}: {line.strip()}  ->  {new.strip()}")
            line = new
        return line

    def _check_drift(self, group, name, drift):
        for term in sympy.Add.make_args(sympy.expand(str_to_sympy(drift))):
            ratio = self._ratio(group, term)
            if term != 0 and (ratio is None or not np.isclose(ratio, 1 / self.factor, rtol=1e-9)):
                raise ValueError(
                    f"{group.name}: in d{name}/dt = {drift}, the term {term} does not become {self.factor:g} "
                    "times slower with what was named. Name the time constants in it too, or write it as "
                    "something divided by a time constant."
                )

    def _code(self, group, code):
        """Statements at an event: additions keep their size, whatever time constant they hold."""
        before = len(self.changed)
        lines = [self._statement(group, text) for text in statements(code)]
        return "\n".join(lines) if len(self.changed) > before else code

    def _statement(self, group, text):
        variable, operation, expression, _ = parse_statement(text)
        ratio = self._ratio(group, expression)
        if ratio is not None and np.isclose(ratio, 1, rtol=1e-12):
            return text
        if ratio is None or operation not in ("+=", "-=") or self._owner(group, variable) not in self.slowed:
            raise ValueError(
                f"{group.name}: {text!r} depends on what was named, and cannot be rescaled: only what is "
                "added to a state that becomes slower itself can, if it changes by a factor."
            )
        new = f"{variable} {operation} {1 / ratio!r}*({expression})"
        self.changed.append(f"{group.name}: {text}  ->  {new}")
        return new

    def _check_others(self, group):
        """Sums over synapses and regular operations must not depend on what was named."""
        texts = [
            f"{name} = {eq.expr.code}"
            for name, eq in parse_string_equations(group.equations).items()
            if eq.type == SUBEXPRESSION and "summed" in eq.flags
        ]
        for operation in group.operations:
            texts += statements(getattr(operation, "code", ""))
        for text in texts:
            expression = parse_statement(text)[2]
            ratio = self._ratio(group, expression)
            if ratio is None or not np.isclose(ratio, 1, rtol=1e-12):
                raise ValueError(
                    f"{group.name}: {text!r} depends on what was named; write it without time constants."
                )

    # -- scaling of an expression -----------------------------------------------------------------------

    def _differential(self, group):
        """Right-hand sides of the differential equations, with subexpressions written out."""
        written = self._written[group.name].items()
        return {name: expression for name, (kind, expression) in written if kind == DIFFERENTIAL_EQUATION}

    def _ratio(self, group, expression):
        """By how much an expression changes: a number, or None where it is none."""
        expression = str_to_sympy(expression) if isinstance(expression, str) else expression
        expression = self._written_out(group, expression)
        scaled = self._scaled(group, expression)
        if scaled is None:
            return 1.0
        ratio = sympy.simplify(scaled / _positive(expression))
        return float(ratio.subs(_S, self.factor)) if ratio.free_symbols <= {_S} else None

    def _scaled(self, group, expression):
        """The expression with what was named multiplied; None if it holds nothing of it."""
        expression = self._written_out(group, expression)
        found = {}
        for name in expression.free_symbols:
            power = self.powers.get(self._owner(group, str(name)))
            if power is not None:
                found[name] = name * _S**power
        return _positive(expression.subs(found)) if found else None

    def _written_out(self, group, expression):
        """Subexpressions of the group and of its ends (``decay_post``) as what they stand for."""
        for symbol in expression.free_symbols:
            owner, name = self._owner(group, symbol.name)
            text = self._subexpressions(owner).get(name)
            if text is None or (owner != group.name and not isinstance(group, Projection)):
                continue
            side = "" if owner == group.name and name == symbol.name else "_post"
            side = "_pre" if symbol.name == f"{name}_pre" else side
            inner = str_to_sympy(text)
            known = {*self.model[owner].values, *self.model[owner].constants}
            names = {s: sympy.Symbol(s.name + side, real=True) for s in inner.free_symbols if s.name in known}
            expression = expression.subs(symbol, inner.xreplace(names))
        return expression

    def _subexpressions(self, name):
        return {
            variable: expression.code
            for variable, (kind, expression) in self._written[name].items()
            if kind == SUBEXPRESSION
        }

    def _owner(self, group, name):
        """(group, variable) that a name in the code of a group stands for."""
        base, _, side = name.rpartition("_")
        if isinstance(group, Projection) and name not in {*group.values, *group.constants}:
            if side == "pre":
                return self._linked(group.source[0], base)
            return self._linked(group.target[0], base if side == "post" else name)
        return self._linked(group.name, name)

    def _linked(self, owner, name):
        link = self.model[owner].links.get(name)
        return (owner, name) if link is None else (link.group, link.variable)


def _written_out(group):
    """Kind and right-hand side of what the equations of a group compute, subexpressions written out."""
    lines = parse_string_equations(group.equations)
    plain = Equations([equation for equation in lines.values() if "summed" not in equation.flags])
    written = plain.get_substituted_expressions(include_subexpressions=True)
    return {name: (lines[name].type, expression) for name, expression in written}


def _positive(expression):
    """With symbols and square roots that sympy can take apart."""
    expression = expression.replace(
        lambda part: isinstance(part, AppliedUndef) and part.func.__name__ == "sqrt",
        lambda part: sympy.sqrt(part.args[0]),
    )
    names = {name: sympy.Symbol(name.name, positive=True) for name in expression.free_symbols - {_S}}
    return expression.xreplace(names)
