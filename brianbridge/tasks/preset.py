"""Published versions of a task."""

from dataclasses import dataclass

LI2020 = "Li, Kim & Sejnowski 2020"
KIM2019 = "Kim & Sejnowski 2019"
KIM2019_PNAS = "Kim, Li & Sejnowski 2019"
SONG2016 = "Song, Yang & Wang 2016"
LIN2024 = "Lin & Huang 2024"
DEPASQUALE2016 = "DePasquale, Churchland & Abbott 2016"


@dataclass(frozen=True)
class Preset:
    """The arguments of a task in one publication.

    Attributes
    ----------
    source : str
    variant : str
        What it is there.
    dt : str
        Time step of training there.
    arguments : dict
        Those that differ from the defaults.
    """

    source: str
    variant: str
    dt: str
    arguments: dict


def published(source, variant, dt, **arguments):
    """Make a `Preset`."""
    return Preset(source, variant, dt, arguments)
