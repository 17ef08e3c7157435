"""Train a surrogate on a task: `fit`, and what it is made of.

Losses
    `root_sum_square`, `mean_square`, `cross_entropy`, `binary_cross_entropy`, `MaxOverTime`
Regularisers
    `L1`, `L2`, `L2Activity`, `Band`, `RateBand`, `VanishingGradient`
Rules to stop
    `Loss`, `Accuracy`, `WorstCondition`, `RMSE`, `Patience`, combined with ``&`` and ``|``
Validation, history, files
    `Validation`, `TensorBoard`, `CheckpointError`

>>> from brianbridge.training import Accuracy, Loss, Patience
>>> print(Loss(15) & Accuracy(0.95))
running loss below 15 and at least 95% of validation trials correct
>>> print(Loss(15) | Patience(100))
running loss below 15, or no lower validation loss in 100 validations
"""

from brianbridge.training.batches import Simulated
from brianbridge.training.checkpoints import CheckpointError
from brianbridge.training.fitting import fit
from brianbridge.training.history import History
from brianbridge.training.logs import TensorBoard
from brianbridge.training.losses import (
    MaxOverTime,
    binary_cross_entropy,
    cross_entropy,
    mean_square,
    root_sum_square,
)
from brianbridge.training.regularisers import L1, L2, Band, L2Activity, RateBand
from brianbridge.training.stopping import RMSE, Accuracy, All, Any, Loss, Patience, Rule, WorstCondition
from brianbridge.training.validation import Validation
from brianbridge.training.vanishing_gradient import VanishingGradient

__all__ = [
    "Accuracy",
    "All",
    "Any",
    "Band",
    "CheckpointError",
    "History",
    "L1",
    "L2",
    "L2Activity",
    "Loss",
    "MaxOverTime",
    "Patience",
    "RMSE",
    "RateBand",
    "Rule",
    "Simulated",
    "TensorBoard",
    "Validation",
    "VanishingGradient",
    "WorstCondition",
    "binary_cross_entropy",
    "cross_entropy",
    "fit",
    "mean_square",
    "root_sum_square",
]
