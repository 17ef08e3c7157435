"""Which synapses make a network recurrent."""

__all__ = ["recurrent_projections"]


def recurrent_projections(model, output):
    """Projections on a closed path through the network, such as from E to I and back.

    Parameters
    ----------
    model : Model
    output : str
        ``'group.variable'``. What comes in and what is read out lies on no closed path. An output that is fed
        back does, but its synapses are the readout's, unless the network has no others.

    Returns
    -------
    list of Projection
    """
    projections = [group for group in model.groups if hasattr(group, "i")]
    readout = output.partition(".")[0]
    inner = [group for group in projections if readout not in (group.source[0], group.target[0])]
    return _on_closed_paths(inner) or _on_closed_paths(projections)


def _on_closed_paths(projections):
    """Those from whose targets a path leads back to their sources."""
    return [p for p in projections if p.source[0] in _reached(p.target[0], projections)]


def _reached(start, projections):
    """Groups to which a path leads from one."""
    reached, last = {start}, {start}
    while last:
        last = {p.target[0] for p in projections if p.source[0] in last} - reached
        reached |= last
    return reached
