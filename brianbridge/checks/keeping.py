"""Findings on disk: what is finished is not lost when a check is interrupted."""

import hashlib
import json
from pathlib import Path

from brianbridge.atomic_files import write_together
from brianbridge.checks.finding import Finding
from brianbridge.report.plain_json import json_text, plain

__all__ = ["Kept"]


class Kept:
    """The findings of a check in a folder, one JSON file each.

    Parameters
    ----------
    folder : path or None
        None keeps nothing.
    manifest : dict
        A finding is used again only where its own manifest is the same, up to what concerns other rungs.
    """

    def __init__(self, folder, manifest):
        self.folder = None if folder is None else Path(folder) / "rungs"
        self.manifest = manifest

    def of(self, rung):
        """The `Finding` of an earlier run; None if there is none for this manifest."""
        if self.folder is None:
            return None
        try:
            kept = json.loads(self._path(rung).read_bytes())
            if kept["manifest sha256"] == self._fingerprint(rung):
                return Finding.from_dict(kept["finding"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing, or not ours: it is made anew
        return None

    def keep(self, rung, finding):
        """Write a finding; errors of ours are not kept."""
        if self.folder is not None and not finding.error:
            entries = {"manifest sha256": self._fingerprint(rung), "finding": finding.as_dict()}
            write_together({self._path(rung): json_text(entries)})

    def _path(self, rung):
        return self.folder / f"{rung.number}-{rung.key}.json"

    def _fingerprint(self, rung):
        check = self.manifest["check"]
        of_this_rung = {"margins": check["margins"].get(rung.key), "only": None}
        if rung.key != "time_steps":
            of_this_rung["fine-tuning (updates)"] = 0
        own = self.manifest | {"check": check | of_this_rung}
        own["trained"] = self.manifest["trained"] | {"file": None}
        return hashlib.sha256(json.dumps(plain(own), sort_keys=True).encode()).hexdigest()
