"""brianbridge with its readable back end in plain PyTorch."""

from implementations.brianbridge import training


def build(point, net):
    """The training of a point."""
    return training(point, net, "eager")
