"""What to suggest when a name is not known."""

import difflib

__all__ = ["closest", "did_you_mean"]


def closest(word, known):
    """The known name that a misspelt one may stand for, also one in the other case, such as R for r.

    Parameters
    ----------
    word : str
    known : iterable of str

    Returns
    -------
    str or None
        None if none is close.
    """
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(str(word).lower(), names, n=1, cutoff=0.5)
    return names[close[0]] if close else None


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
    close = closest(word, known)
    if close:
        return f"did you mean '{close}'?"
    return f"known: {', '.join(sorted(known)) or 'none'}."
