"""Trained networks: their files, and the way back into live Brian2 networks. No torch."""

from brianbridge.trained.network import Trained, TrainedFileError

__all__ = ["Trained", "TrainedFileError"]
