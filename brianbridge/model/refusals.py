"""What cannot be bridged, said all at once in one error."""

from dataclasses import dataclass

__all__ = ["Refusal", "Refused"]


@dataclass(frozen=True)
class Refusal:
    """One construct that cannot be bridged.

    Attributes
    ----------
    object : str
        Name of the Brian2 object.
    construct : str
        What was found, quoting the user's own text where there is one.
    remedy : str
        How to mend it.
    """

    object: str
    construct: str
    remedy: str

    def __str__(self):
        return f"{self.object}: {self.construct}\n    -> {self.remedy}"


class Refused(Exception):
    """The network cannot be bridged; lists every reason at once.

    Attributes
    ----------
    refusals : tuple of Refusal
        All reasons, in the order of the network's objects.
    rest : Model or None
        What remains without the refused objects, where it can be examined for further reasons.
    """

    def __init__(self, refusals, rest=None):
        self.refusals = tuple(refusals)
        self.rest = rest
        count = len(self.refusals)
        heading = (
            "This network cannot be bridged for one reason:"
            if count == 1
            else (f"This network cannot be bridged for {count} reasons:")
        )
        super().__init__("\n".join([heading, *(f"  - {refusal}" for refusal in self.refusals)]))
