"""What to suggest when a name is not known."""

import difflib

__all__ = ["did_you_mean", "hint"]


def hint(word, known):
    """A sentence that says which of the known names a misspelt word may stand for.

    Parameters
    ----------
    word : str
    known : iterable of str

    Returns
    -------
    str
        Such as ``" Did you mean 'delay'?"``, to follow another sentence; empty if none is close.
    """
    close = _closest(word, known)
    return f" Did you mean {close!r}?" if close else ""


def did_you_mean(word, known):
    """Say which of the known names a misspelt word may stand for.

    Parameters
    ----------
    word : str
    known : iterable of str

    Returns
    -------
    str
        Such as ``"did you mean 'delay'?"``; all known names if none is close.
    """
    close = _closest(word, known)
    if close:
        return f"did you mean '{close}'?"
    return f"known: {', '.join(sorted(known)) or 'none'}."


def _closest(word, known):
    """The known name, also one in the other case, such as R for r; None if none is close."""
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(str(word).lower(), names, n=1, cutoff=0.5)
    return names[close[0]] if close else None
