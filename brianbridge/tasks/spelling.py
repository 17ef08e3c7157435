"""What to suggest when a name is not known."""

import difflib


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
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) or 'none'}."
