"""Where training starts: connections between areas and types of cells, balanced weights, spectral radius.

Everything here is done to live `Synapses` before the network is wrapped.
"""

import numpy as np
from brian2.units.fundamentalunits import Quantity, fail_for_dimension_mismatch, get_dimensions

__all__ = ["balanced_gamma", "block_probability", "scale_to_radius", "spectral_radius"]


def block_probability(label, p):
    """Probability of a connection by area or type of cell, as text for ``Synapses.connect(p=...)``.

    Parameters
    ----------
    label : str or (str, str)
        Variable of the groups at both ends that numbers areas or types from 0 on; two names if they differ,
        that of the source first.
    p : array, shape (labels of the source, labels of the target)
        ``p[a][b]`` is the probability of a connection from a to b.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If `p` is not a table of probabilities.

    Examples
    --------
    Two areas, dense inside, with sparse feedback from the second to the first::

        cells = NeuronGroup(150, eqs + "area : integer (constant)")
        rec.connect(condition="i != j", p=bb.initial.block_probability("area", [[1, 1], [0.2, 1]]))
    """
    table = np.array(p, dtype=float)
    if table.ndim != 2 or not np.all((table >= 0) & (table <= 1)):
        raise ValueError(
            f"block_probability({label!r}, {p!r}): expected one row for each label of the source and one "
            "column for each of the target, of numbers between 0 and 1."
        )
    pre, post = (label, label) if isinstance(label, str) else label
    terms = [
        f"{table[a, b]!s}*int({pre}_pre == {a})*int({post}_post == {b})" for a, b in np.argwhere(table > 0)
    ]
    return " + ".join(terms) or "0.0"


def balanced_gamma(synapses, mean, inhibitory, *, shape=2, seed=None, variable="w"):
    """Gamma distributed weights whose excitation and inhibition balance (Song, Yang & Wang 2016).

    The mean weight from an inhibitory neuron is larger, by the number of excitatory inputs of the target for
    each of its inhibitory ones; then the mean weights onto each neuron are scaled to a norm of `mean`.

    Parameters
    ----------
    synapses : Synapses
        Connected already.
    mean : Quantity or float
        In the unit of the weights; 0.1 in the paper.
    inhibitory : array of bool, shape (source neurons,)
        Whose weights are negative.
    shape : float
        Of the gamma distribution.
    seed : int or numpy Generator, optional
    variable : str
        Name of the weights.

    Raises
    ------
    ValueError
        If there is not one value of `inhibitory` for each presynaptic neuron.
    DimensionMismatchError
        If `mean` is not in the unit of the weights.
    """
    weights = _weights(synapses, variable)
    fail_for_dimension_mismatch(
        mean, weights, f"balanced_gamma: mean={mean} is not in the unit of {synapses.name}.{variable}"
    )
    inhibitory = np.asarray(inhibitory, dtype=bool).reshape(-1)
    if inhibitory.size != len(synapses.source):
        raise ValueError(
            f"balanced_gamma: {synapses.name} comes from {len(synapses.source)} neurons, but inhibitory has "
            f"{inhibitory.size} values."
        )
    i, j, n = synapses.i[:], synapses.j[:], len(synapses.target)
    negative = inhibitory[i]
    inputs = np.stack([np.bincount(j[~negative], minlength=n), np.bincount(j[negative], minlength=n)])
    pattern = np.where(negative, inputs[0, j] / np.maximum(inputs[1, j], 1), 1.0)
    norm = np.sqrt(np.bincount(j, weights=pattern**2, minlength=n))
    means = float(mean) * pattern / norm[j]
    drawn = np.random.default_rng(seed).gamma(shape, means / shape)
    synapses.variables[variable].set_value(np.where(negative, -drawn, drawn))


def spectral_radius(synapses, variable="w"):
    """Largest absolute eigenvalue of the matrix of weights.

    Parameters
    ----------
    synapses : Synapses
        From a group to itself; several synapses of one pair add up.
    variable : str
        Name of the weights.

    Returns
    -------
    Quantity or float

    Raises
    ------
    ValueError
        If source and target are different groups.
    """
    weights = _weights(synapses, variable)
    if synapses.source is not synapses.target:
        raise ValueError(
            f"{synapses.name}: source and target are different groups: such a matrix has no eigenvalues."
        )
    matrix = np.zeros((len(synapses.target), len(synapses.source)))
    np.add.at(matrix, (synapses.j[:], synapses.i[:]), np.asarray(weights))
    return Quantity(np.abs(np.linalg.eigvals(matrix)).max(), dim=get_dimensions(weights))


def scale_to_radius(synapses, radius, variable="w"):
    """Scale weights to a spectral radius.

    Parameters
    ----------
    synapses : Synapses
        From a group to itself.
    radius : Quantity or float
        In the unit of the weights; 1.5 in Song, Yang & Wang (2016).
    variable : str
        Name of the weights.

    Raises
    ------
    ValueError
        If source and target are different groups, or the radius is zero before or afterwards.
    DimensionMismatchError
        If `radius` is not in the unit of the weights.
    """
    found = spectral_radius(synapses, variable)
    fail_for_dimension_mismatch(radius, found, f"{radius} is not in the unit of {synapses.name}.{variable}")
    if not float(radius) > 0 or not float(found) > 0:
        raise ValueError(
            f"{synapses.name}: a spectral radius of {float(found):g} cannot be made {float(radius):g}."
        )
    values = synapses.variables[variable].get_value()
    synapses.variables[variable].set_value(values * (float(radius) / float(found)))


def _weights(synapses, variable):
    if variable not in synapses.variables:
        raise ValueError(f"{synapses.name} has no variable {variable!r}; name its weights: variable='...'.")
    values = Quantity(synapses.variables[variable].get_value(), dim=synapses.variables[variable].dim)
    if not values.size:
        raise ValueError(f"{synapses.name} has no synapses yet: connect() first.")
    return values
