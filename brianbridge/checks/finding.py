"""What a rung of the ladder found, before it becomes a line of the report."""

import json
from dataclasses import asdict, dataclass, field

from brianbridge.report import VERDICTS, Table
from brianbridge.report.plain_json import json_text, plain

__all__ = ["Finding", "NotApplicable", "NotRun", "Table", "verdict"]


class NotApplicable(Exception):
    """The question of a rung does not arise for this network; says why."""


class NotRun(Exception):
    """A rung could not be carried out; says why."""


@dataclass(frozen=True)
class Finding:
    """The outcome of a rung.

    Attributes
    ----------
    verdict : {'pass', 'fail', 'not applicable', 'not run'}
    value
        What was measured, in short.
    reason : str
    detects : str
        The smallest effect that this measurement could have shown.
    data : dict
        Every number behind it; figures are drawn from these.
    tables : list of Table
    error : str
        Of ours, if one has ended the rung.
    """

    verdict: str
    value: object = None
    reason: str = ""
    detects: str = ""
    data: dict = field(default_factory=dict)
    tables: list = field(default_factory=list)
    error: str = ""

    def as_dict(self):
        """Plain numbers, texts, lists and dicts: fit for JSON."""
        return plain(asdict(self), "a finding")

    def as_json(self):
        """UTF-8."""
        return json_text(self.as_dict())

    def __post_init__(self):
        if self.verdict not in VERDICTS or not isinstance(self.data, dict):
            raise ValueError(f"{self.verdict!r:.60} with {self.data!r:.60} is no finding.")

    @classmethod
    def from_dict(cls, entries):
        """The finding of which `as_dict` made these entries."""
        return cls(**(entries | {"tables": [Table(**table) for table in entries["tables"]]}))

    def stored(self):
        """The finding as it would come back from its file, so that a resumed report has the same numbers."""
        return type(self).from_dict(json.loads(self.as_json()))


def verdict(passed):
    """``'pass'`` or ``'fail'``."""
    return "pass" if passed else "fail"
