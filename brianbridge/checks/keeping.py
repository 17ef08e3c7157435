"""Findings on disk: what is finished is not lost when a check is interrupted."""

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path

from brianbridge.atomic_files import write_together
from brianbridge.checks.finding import Finding
from brianbridge.report.plain_json import json_text, plain
from brianbridge.trained.network import Trained, TrainedFileError

__all__ = ["Kept", "keep_models", "kept_model"]


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
            if (kept["manifest sha256"], kept["finding sha256"]) != (
                self._fingerprint(rung),
                _sha256(kept["finding"]),
            ):
                return None
            return Finding.from_dict(kept["finding"])
        except Exception:  # missing, damaged or of an earlier version: it is made anew
            return None

    def keep(self, rung, finding):
        """Write a finding; what was not run may run the next time, with a compiler or another version."""
        if self.folder is not None and finding.verdict != "not run":
            found = json.loads(finding.as_json())
            entries = {
                "manifest sha256": self._fingerprint(rung),
                "finding sha256": _sha256(found),
                "finding": found,
            }
            with writing_into(self.folder.parent):
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
        own["in Brian2"] = self.manifest.get("in Brian2", {}) | {"devices": None}  # of all rungs
        return _sha256(plain(own))


def _sha256(entries):
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


@contextmanager
def writing_into(folder):
    """Say of a disk that is full, or may not be written to, what it means for a check."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"{folder} cannot be written to ({error.strerror or error}). The checks that were finished are "
            "kept there: make room and check again with the same settings, or give another folder.",
        ) from None


def keep_models(folder, **models):
    """Write the models that a check was given, other than the trained network's, for `reproduce`."""
    for name, model in models.items():
        if model is not None:
            with writing_into(folder):
                Trained(model=model).save(Path(folder) / f"{name}.safetensors")


def kept_model(folder, name, wanted):
    """The model that `keep_models` has written, if it is still the one with this hash; otherwise None."""
    try:
        model = Trained.load(Path(folder) / f"{name}.safetensors").model
    except TrainedFileError:
        return None
    return model if model.hash == wanted else None
