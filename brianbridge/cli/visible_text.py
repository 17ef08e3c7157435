"""Text from files as a terminal may show it: nothing in it moves the cursor or reorders what is seen."""

import json
import unicodedata

__all__ = ["visible", "visible_json"]

#: Control, format (some reverse text), surrogate, private use, line and paragraph separators.
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def visible(text):
    r"""Write characters that a terminal would obey as their codes, such as ``\x1b``; lines and tabs stay."""
    return _escaped(text, lambda character: character.encode("unicode_escape").decode())


def visible_json(text):
    """The same in JSON, which means the same as before."""
    return _escaped(text, lambda character: json.dumps(character)[1:-1])


def _escaped(text, escape):
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(escape(character) if _is_hidden(character) else character for character in text)


def _is_hidden(character):
    return character not in "\n\t" and unicodedata.category(character) in HIDDEN
