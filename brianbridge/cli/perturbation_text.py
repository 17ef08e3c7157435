"""Perturbations and selections as short texts: the language of ``brianbridge perturb``."""

import re

__all__ = ["ACTIONS", "SELECTIONS", "read_action", "read_selection"]

ACTIONS = """\
clamp cells.v=-100*mV     hold a state variable
inject cells.I=50*pA      add to a current
scale rec.w=0.5           multiply a parameter
silence rec               set the weights w to zero (rec.g: the weights g)
prune rec=0.5             the half of the weights with the smallest magnitude
lesion cells              no spikes, no effect on others
noise cells=2             multiply the noise xi
shuffle cells.tau_m       exchange the values of a parameter
switch-context            exchange the channels of the context"""

SELECTIONS = """\
'tau_m < median', 'tau > q0.75'     by a parameter: below or above a quantile
excitatory, inhibitory              by sign
'target@sample > q0.75'             by selectivity: d' of a condition in an epoch
0-9,15                              by number
'from inhibitory'                   synapses by the neuron they come from ('onto ...': that they end on)"""

_NUMBER = r"\d+(?:-\d+)?"
_BY_VALUE = re.compile(r"^(\w+)(?:@(\w+))?\s*([<>])\s*(median|q(?:0|1|0?\.\d+))$")


def read_action(text, where=None, during=None):
    """A perturbation from text such as ``'clamp cells.v=-100*mV'``; see `ACTIONS`.

    Parameters
    ----------
    text : str
    where : Selection, optional
    during : str or sequence of str, optional

    Returns
    -------
    Perturbation

    Raises
    ------
    ValueError
        If the text is no perturbation.
    """
    from brianbridge import perturb
    from brianbridge.model.quantities import read_quantity

    word, _, rest = text.strip().partition(" ")
    name, _, value = (part.strip() for part in rest.partition("="))
    group, _, variable = name.partition(".")
    forms = {
        "clamp": (group and variable and value, lambda: perturb.clamp(group, where, during, **given())),
        "inject": (group and variable and value, lambda: perturb.inject(group, where, during, **given())),
        "scale": (group and variable and value, lambda: perturb.scale(group, where, during, **given())),
        "silence": (group and not value, lambda: perturb.silence(group, where, during, variable or "w")),
        "prune": (group and value, lambda: pruned()),
        "lesion": (group and not variable, lambda: perturb.lesion(group, where, during)),
        "noise": (group and value, lambda: perturb.noise(group, float(value), where, during)),
        "shuffle": (group and variable, lambda: perturb.shuffle(group, variable, where, during)),
        "switch-context": (not rest, lambda: perturb.switch_context(during)),
    }

    def given():
        return {variable: read_quantity(value)}

    def pruned():
        if where is not None:
            raise ValueError("prune chooses synapses itself, by magnitude: leave the selection out.")
        return perturb.prune(group, float(value), during, variable or "w")

    if word not in forms or not forms[word][0]:
        raise ValueError(f"{text!r} is no action; it reads like one of\n{ACTIONS}")
    return forms[word][1]()


def read_selection(text):
    """A selection from text such as ``'tau_m > median'``; see `SELECTIONS`.

    Parameters
    ----------
    text : str

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If the text is none of the selections.
    """
    from brianbridge.perturb import selection

    text = text.strip()
    for word, by_end in (("from ", selection.from_neurons), ("onto ", selection.onto_neurons)):
        if text.startswith(word):
            return by_end(read_selection(text.removeprefix(word)))
    if text in ("excitatory", "inhibitory"):
        return getattr(selection, text)()
    if re.fullmatch(rf"{_NUMBER}(,{_NUMBER})*", text):
        return selection.indices([number for part in text.split(",") for number in _span(part)])
    found = _BY_VALUE.match(text)
    if not found:
        raise ValueError(f"{text!r} is no selection; it reads like one of\n{SELECTIONS}")
    name, epoch, sign, quantile = found.groups()
    values = selection.selectivity(name, epoch) if epoch else name
    choose = selection.below_quantile if sign == "<" else selection.above_quantile
    return choose(values, 0.5 if quantile == "median" else float(quantile[1:]))


def _span(part):
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)
