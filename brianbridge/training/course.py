"""The course of a training: update, validate, log, save, stop; and go on from a checkpoint."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm.auto import tqdm

from brianbridge.training.carrying import some_state, state_arrays, state_of
from brianbridge.training.checkpoints import Checkpoint, CheckpointError
from brianbridge.training.history import History
from brianbridge.training.interruption import undisturbed
from brianbridge.training.optimisers import optimiser_parts, restore_optimiser

__all__ = ["Course"]


@dataclass
class Course:
    """A training that goes on until a rule, the number of updates or an interrupt ends it.

    Attributes
    ----------
    updater : Updater
    measure : callable
        Takes the number of the update, returns columns of the history.
    every : int
        Updates between two validations.
    always : bool
        Whether to validate also where no stopping rule asks for it.
    stop : Rule
    updates : int
    path : Path or None
        Of the checkpoint.
    save_every : int
        Updates between two checkpoints.
    settings : dict
        What the training is, see `Checkpoint`.
    history : History
    best : dict of str to Tensor
        Unconstrained values with the lowest validation loss; empty before the first validation.
    best_update : int
    ended_by : str
    """

    updater: object
    measure: object
    every: int
    always: bool
    stop: object
    updates: int
    path: Path | None
    save_every: int
    settings: dict
    history: History = field(default_factory=History)
    best: dict = field(default_factory=dict)
    best_update: int = 0
    ended_by: str = ""
    saved: int = -1
    logged: int = 0

    @property
    def surrogate(self):
        """What is trained."""
        return self.updater.surrogate

    def run(self, logs, progress):
        """Train to the end; an interrupt ends it early, and so does SIGTERM, which ends the program too.

        Parameters
        ----------
        logs : list of callable
            Each is given every row of the history, and closed at the end.
        progress : bool
        """
        with ExitStack() as stack:
            for log in logs:
                stack.callback(getattr(log, "close", lambda: None))
            bar = stack.enter_context(
                tqdm(total=self.updates, desc="training", unit="update", disable=not progress)
            )
            try:
                self._run(logs, bar)
            except KeyboardInterrupt:
                self.ended_by = "interrupt"
                self._save()
                bar.write(f"Interrupted: the network is kept as it was after {self._where()}.")
            except SystemExit:
                self._save()
                raise
            except FloatingPointError as error:
                kept = f" The checkpoint {self.path} holds update {self.saved}." if self.saved >= 0 else ""
                raise FloatingPointError(f"{error}{kept}") from None

    def _run(self, logs, bar):
        while True:
            self._validate()
            self._log(logs)
            self._show(bar)
            self.ended_by = self._end()
            if self.ended_by or (len(self.history) and len(self.history) % self.save_every == 0):
                self._save()
            if self.ended_by:
                return
            self.updater.update(self.history)

    def _end(self):
        """Why training ends now; empty where it goes on."""
        if len(self.history) and self.stop.reached(self.history):
            return str(self.stop)
        return "number of updates" if len(self.history) >= self.updates else ""

    def _validate(self):
        count = len(self.history)
        due = count and count % self.every == 0 and self.history.last("validated") is None
        if not due or not (self.always or self.stop.worth_validating(self.history)):
            return
        columns = self.measure(count)
        with undisturbed():
            before = self.history.measured("validation_loss")
            self.history.complete(**columns)
            loss = columns["validation_loss"]
            if loss is not None and loss < min(before, default=float("inf")):
                self.best, self.best_update = self._values(), count

    def keep_best(self):
        """Give the surrogate the parameters of the lowest validation loss, if there was a validation."""
        self._set(self.best)

    def _values(self):
        return {name: raw.detach().clone() for name, raw in self.surrogate.named_values().items()}

    @torch.no_grad()
    def _set(self, values):
        for name, value in values.items():
            self.surrogate.named_values()[name].copy_(value)

    # -- what can be seen of it -----------------------------------------------------------------------

    def _log(self, logs):
        for row in self.history.rows(self.logged):
            for log in logs:
                try:
                    log(row)
                except OSError as error:
                    text = f"The history could not be written after {len(self.history)} updates"
                    raise _disk(error, text) from error
        self.logged = len(self.history)

    def _show(self, bar):
        loss, accuracy = self.history.running("loss"), self.history.running("accuracy")
        if loss is not None:
            bar.set_postfix(loss=f"{loss:.3g}", accuracy=f"{accuracy:.0%}", refresh=False)
        bar.update(len(self.history) - bar.n)

    def _where(self):
        saved = f", also in {self.path}: the same call goes on from there" if self.path else ""
        return f"{len(self.history)} updates{saved}"

    # -- checkpoints ----------------------------------------------------------------------------------

    def _save(self):
        if not self.path or self.saved == len(self.history):
            return
        try:
            self._checkpoint().save(self.path)
        except OSError as error:
            kept = f"{self.path} still holds update {self.saved}" if self.saved >= 0 else "there is none yet"
            raise _disk(
                error,
                f"The checkpoint could not be written: {kept}, and the surrogate the parameters after "
                f"{len(self.history)} updates",
            ) from error
        self.saved = len(self.history)

    def _checkpoint(self):
        arrays, numbers, groups = optimiser_parts(self.updater.optimiser)
        kinds = {
            "parameter": {name: value.cpu().numpy() for name, value in self._values().items()},
            "best": {name: value.cpu().numpy() for name, value in self.best.items()},
            "optimiser": arrays,
            "history": self.history.arrays(),
            "state": state_arrays(self.updater.state or {}),
        }
        arrays = {f"{kind} {name}": array for kind, named in kinds.items() for name, array in named.items()}
        return Checkpoint(self.settings, arrays, groups, numbers, self.best_update)

    def restore(self):
        """Go on from the checkpoint, if there is one.

        Raises
        ------
        CheckpointError
            If it is damaged, or belongs to another training; nothing is changed then.
        """
        if not self.path or not self.path.exists():
            return
        found = Checkpoint.load(self.path)
        continuous = self.updater.carry and len(found.named("state"))
        like = some_state(self.surrogate, self.updater.batch) if continuous else {}
        parameters = {name: value.cpu().numpy() for name, value in self._values().items()}
        found.check(self.path, self.settings, parameters, state_arrays(like))
        try:
            restore_optimiser(self.updater.optimiser, found.named("optimiser"), found.numbers, found.groups)
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{self.path} is damaged: {error}.") from None
        self._set({name: torch.tensor(array) for name, array in found.named("parameter").items()})
        self.best = {name: torch.tensor(array) for name, array in found.named("best").items()}
        self.best_update = found.best_update
        self.history = History.from_arrays(found.named("history"))
        self.updater.state = state_of(found.named("state"), like) if continuous else None
        self.updater.started -= self.history.last("seconds") or 0.0
        self.saved = len(self.history)


def _disk(error, text):
    """The same error of the operating system, with what it means for the training."""
    return OSError(error.errno, f"{text} ({error.strerror or error})")
