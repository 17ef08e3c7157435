"""Losses, regularisers, rules to stop and optimisers, each against plain numpy."""

from functools import partial

import numpy as np
import pytest
import torch
from brian2 import *
from small_training import Sign, fit, lif_surrogate, parameters
from torch.nn.utils import get_total_norm

import brianbridge as bb
from brianbridge.training import (
    L1,
    L2,
    RMSE,
    Accuracy,
    Band,
    History,
    L2Activity,
    Loss,
    MaxOverTime,
    Patience,
    RateBand,
    Validation,
    WorstCondition,
    binary_cross_entropy,
    cross_entropy,
    mean_square,
    root_sum_square,
)
from brianbridge.training.batches import Batches
from brianbridge.training.optimisers import learning_rates_of
from brianbridge.training.random_numbers import NOISE, random_numbers
from brianbridge.training.stopping import rule_of

RNG = np.random.default_rng(4)
OUTPUT = RNG.normal(size=(7, 5, 3))
TARGET = np.eye(3)[RNG.integers(3, size=(7, 5))]
MASK = np.repeat(RNG.integers(2, size=(7, 5, 1)).astype(float), 3, axis=2)
MASK[2] = 1


def softmax(values):
    return np.exp(values) / np.exp(values).sum(-1, keepdims=True)


def largest(loss):
    """The numpy form of `MaxOverTime`."""
    target = np.where(MASK > 0, TARGET, 0).max(0)
    return loss(OUTPUT.max(0)[None], target[None], MASK.max(0)[None])


def numpy_cross_entropy(output, target, mask):
    return -(mask[..., 0] * np.log((softmax(output) * target).sum(-1))).sum() / mask[..., 0].sum()


def numpy_mean_square(output, target, mask):
    return (mask * (output - target) ** 2).sum() / mask.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    "loss, expected",
    [
        (root_sum_square, lambda: np.sqrt((MASK * (OUTPUT - TARGET) ** 2).sum((0, 2))).mean()),
        (mean_square, lambda: numpy_mean_square(OUTPUT, TARGET, MASK)),
        (cross_entropy, lambda: numpy_cross_entropy(OUTPUT, TARGET, MASK)),
        (
            binary_cross_entropy,
            lambda: (
                -(MASK * np.log(np.where(TARGET > 0, sigmoid(OUTPUT), 1 - sigmoid(OUTPUT)))).sum()
                / MASK.sum()
            ),
        ),
        (MaxOverTime(mean_square), lambda: largest(numpy_mean_square)),
    ],
)
def test_training_are_those_of_numpy(loss, expected):
    arrays = [torch.tensor(array) for array in (OUTPUT, TARGET, MASK)]
    assert loss(*arrays).item() == pytest.approx(expected(), rel=1e-12)


def test_the_maximum_over_time_of_digits():
    """One-hot target in the last step only, as in the task of digits."""
    target, mask = np.zeros((7, 5, 3)), np.zeros((7, 5, 3))
    target[-1], mask[-1] = TARGET[0], 1
    found = MaxOverTime()(*(torch.tensor(array) for array in (OUTPUT, target, mask))).item()
    expected = -np.log((softmax(OUTPUT.max(0)) * TARGET[0]).sum(-1)).mean()
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_loss_of_zero_has_a_gradient_of_zero():
    output = torch.ones(3, 2, 1, requires_grad=True)
    root_sum_square(output, torch.ones(3, 2, 1), torch.ones(3, 2, 1)).backward()
    assert (output.grad == 0).all()


# -- regularisers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated():
    surrogate = lif_surrogate()
    task = Sign()
    batches = Batches(surrogate, task, {"stim": "stimulus"}, "out.o", ("cells.v", "cells.r", "cells.spike"))
    return batches.simulate(batches.draw(1, 3), torch.Generator().manual_seed(2))


def outside(values, low, high):
    return np.maximum(values - high, 0) + np.maximum(low - values, 0)


@pytest.mark.parametrize(
    "term, expected",
    [
        (L1("rec.w", 2.0), lambda r: 2 * 5.5),  # 1, 2, 1.5 and -1 mV
        (L2("rec.w", 2.0), lambda r: 2 * (1 + 4 + 2.25 + 1)),
        (L2Activity("cells.r", 3.0), lambda r: 3 * (r["cells.r"] ** 2).mean()),
        (L2Activity("cells.v", 3.0, unit=mV), lambda r: 3e6 * (r["cells.v"] ** 2).mean()),
        (
            Band("cells.v", -5 * mV, 5 * mV, 3.0),
            lambda r: 3 * ((outside(r["cells.v"], -5e-3, 5e-3) / 10e-3) ** 2).mean(),
        ),
        (
            RateBand("cells", 10 * Hz, 20 * Hz, 3.0),
            lambda r: 3 * (outside(r["cells.spike"].mean((0, 1)) / 1e-3, 10, 20) ** 2).mean(),
        ),
    ],
)
def test_regularisers_are_those_of_numpy(simulated, term, expected):
    records = {name: values.detach().numpy().astype(float) for name, values in simulated.records.items()}
    value = term(simulated)
    assert value.item() == pytest.approx(expected(records), rel=1e-5)
    assert value.item() > 0 and value.requires_grad


def test_units_of_regularisers(simulated):
    with pytest.raises(ValueError, match="low=-5 must be in volt, the unit of cells.v"):
        Band("cells.v", -5, 5, 1.0)(simulated)
    with pytest.raises(ValueError, match="unit=1.0 must be in volt"):
        L2Activity("cells.v", 1.0)(simulated)
    with pytest.raises(ValueError, match="must be less than"):
        Band("cells.v", 5 * mV, -5 * mV, 1.0)
    with pytest.raises(ValueError, match="are rates, such as 5.Hz"):
        RateBand("cells", 5, 20, 1.0)


def test_a_regulariser_changes_what_is_learned():
    plain, small = lif_surrogate(), lif_surrogate()
    fit(plain)
    trained = fit(small, regularisers=[L2("w_out.w", 10.0), lambda simulated: simulated.output.sum() * 0])
    assert small.named_values()["w_out.w"].norm() < plain.named_values()["w_out.w"].norm()
    assert all([value > 0 for value in trained.history["regularisation"]])
    assert trained.manifest["training"]["regularisers"][0] == "L2(parameter=w_out.w, strength=10.0)"


# -- optimisers and gradients ---------------------------------------------------------------------------


def test_plain_descent_is_what_it_says():
    """One update of SGD, against the gradient of the same trials; then clipped."""
    before, free, clipped = lif_surrogate(), lif_surrogate(), lif_surrogate()
    settings = dict(updates=1, optimiser=torch.optim.SGD, learning_rate={"rec.w": 0.5, "w_out.w": 0.1})
    norm = fit(free, clip=None, **settings).history["gradient_norm"][0]
    fit(clipped, clip=norm / 10, **settings)
    starts = before.named_values()
    steps = {name: starts[name] - raw for name, raw in free.named_values().items()}
    gradients = {name: steps[name] / rate for name, rate in {"rec.w": 0.5, "w_out.w": 0.1}.items()}
    gradients["cells.tau_m"] = steps["cells.tau_m"] / 0.01
    assert get_total_norm(gradients.values()).item() == pytest.approx(norm, rel=1e-6)
    for name, raw in clipped.named_values().items():
        assert torch.allclose(starts[name] - raw, steps[name] / 10, rtol=1e-4, atol=1e-12)


def test_optimisers_of_many_kinds():
    result = fit(lif_surrogate(), updates=1, optimiser=partial(torch.optim.SGD, momentum=0.9))
    assert result.manifest["training"]["optimiser"] == "SGD(momentum=0.9)"
    fit(lif_surrogate(), updates=1, optimiser=lambda groups: torch.optim.AdamW(groups, weight_decay=0.1))
    with pytest.raises(ValueError, match="LBFGS evaluates the loss many times"):
        fit(lif_surrogate(), optimiser=lambda groups: torch.optim.LBFGS([groups[0]["params"][0]]))
    with pytest.raises(TypeError, match="must return an optimiser of torch, not list"):
        fit(lif_surrogate(), optimiser=lambda groups: groups)


def test_learning_rates_by_name():
    surrogate = lif_surrogate()
    expected = {"w_out.w": 0.2, "rec.w": 0.01, "cells.tau_m": 0.01}
    assert learning_rates_of(surrogate, {"w_out.w": 0.2}, None) == expected
    expected = {"w_out.w": 0.2, "rec.w": 0.3, "cells.tau_m": 0.3}
    assert learning_rates_of(surrogate, 0.3, {"w_out.w": 0.2}) == expected
    with pytest.raises(ValueError, match="The learning rate of rec.w is -1"):
        learning_rates_of(surrogate, {"rec.w": -1}, None)


def test_several_updates_per_batch():
    drawn = []
    task = Sign()
    task.trials = lambda *args, draw=task.trials: drawn.append(draw(*args)) or drawn[-1]
    fit(lif_surrogate(), task, updates=7, updates_per_batch=3)
    assert len(drawn) == 3


def test_steep_gradients_are_explained():
    with pytest.warns(UserWarning, match=r"by a millionth .*mostly through .*reset_gradient=False") as caught:
        fit(
            lif_surrogate(),
            updates=3,
            loss=lambda o, t, m: 1e9 * (o.mean() - o.mean().detach()),
        )
    assert len([w for w in caught if "too steep" in str(w.message)]) == 1
    assert all([w.filename == __file__.replace("test_training", "small_training") for w in caught])
    with pytest.warns(UserWarning, match="from spike to spike"):
        fit(
            lif_surrogate(reset_gradient=False),
            updates=1,
            loss=lambda o, t, m: 1e9 * (o.mean() - o.mean().detach()),
        )


# -- stopping -------------------------------------------------------------------------------------------


def history(**columns):
    made = History()
    for row in zip(*columns.values()):
        made.append(**dict(zip(columns, row)))
    return made


def test_rules_look_at_the_history():
    losses = history(loss=[9.0] * 9 + [1.0])
    assert Loss(8.3).reached(losses) and not Loss(8.1).reached(losses)
    validated = history(loss=[1.0] * 3, validated=[0.7, None, 0.9], rmse=[None, None, 0.05])
    assert Accuracy(0.9).reached(validated) and not Accuracy(0.91).reached(validated)
    assert Accuracy(0.8, average=2).reached(validated) and not Accuracy(0.5, average=3).reached(validated)
    assert RMSE(0.05).reached(validated) and not RMSE(0.04).reached(validated)
    assert not WorstCondition(0.1).reached(validated)
    assert not Accuracy(0.5).reached(history(loss=[1.0, 1.0], validated=[0.9, None]))
    waiting = history(loss=[1.0] * 5, validation_loss=[3.0, 1.0, 2.0, None, 1.5])
    assert Patience(2).reached(waiting) and not Patience(3).reached(waiting)


def test_rules_combine():
    rule = Loss(15) & Accuracy(0.95) | Patience(100)
    assert str(rule) == (
        "running loss below 15 and at least 95% of validation trials correct, or no lower validation loss in "
        "100 validations"
    )
    low, high = history(loss=[14.0]), history(loss=[16.0])
    both = Loss(15) & Accuracy(0.95)
    assert both.worth_validating(low) and not both.worth_validating(high)
    assert rule.worth_validating(high) and not Loss(15).worth_validating(low)
    named = rule_of({"loss": 15, "accuracy": 0.95, "patience": 100, "average": 5})
    assert "mean of 5 validations" in str(named)
    assert rule_of(lambda history: len(history) == 3).reached(history(loss=[1, 1, 1]))
    assert not rule_of(None).reached(low)


def test_a_rule_of_ones_own_and_patience_end_a_training():
    trained = fit(lif_surrogate(), updates=9, stop=lambda history: len(history) == 3)
    assert trained.manifest["training"]["updates"] == 3
    rates = {name: 0.0 for name in lif_surrogate().named_values()}
    trained = fit(
        lif_surrogate(),
        updates=9,
        learning_rate=rates,
        stop=Patience(1),
        loss=lambda o, t, m: 0 * o.sum() + 1,
        validation=Validation(trials=2, every=2),
    )
    assert trained.manifest["training"]["ended_by"] == "no lower validation loss in 1 validations"
    assert trained.history["validation_loss"] == [None, 1.0, None, 1.0]


# -- validation -----------------------------------------------------------------------------------------


def test_the_best_parameters_are_kept():
    surrogate, until_best = lif_surrogate(), lif_surrogate()
    settings = dict(learning_rate=1.0, validation=Validation(trials=20, every=1))
    trained = fit(surrogate, keep="best", updates=6, **settings)
    best = int(np.argmin(trained.history["validation_loss"])) + 1
    assert trained.manifest["training"]["kept"] == best < 6
    fit(until_best, updates=best, **settings)
    assert parameters(surrogate) == parameters(until_best)


def test_validation_does_not_change_the_training():
    plain, validated = lif_surrogate(), lif_surrogate()
    fit(plain)
    fit(validated, validation=Validation(trials=150, every=3, conditions=("sign",)))
    assert parameters(plain) == parameters(validated)


def test_the_worst_condition_and_the_rmse():
    task = Sign()
    task.score = lambda output, trials: trials.conditions["sign"] > 0
    validation = Validation(trials=8, every=1, conditions=("sign",))
    trained = fit(lif_surrogate(), task, updates=1, validation=validation, loss=mean_square)
    assert trained.history["worst_condition"] == [0.0] and 0 < trained.history["validated"][0] < 1
    assert trained.history["rmse"][0] ** 2 == pytest.approx(trained.history["validation_loss"][0], rel=1e-5)


def test_another_time_step_keeps_the_power_of_the_noise():
    """v of free neurons is an Ornstein-Uhlenbeck process with a standard deviation of 2 mV at any step."""
    surrogate = lif_surrogate()
    fine = surrogate.twin(dt=0.25 * ms)
    assert float(fine.dt) == 0.25e-3 and fine.parameter is surrogate.parameter
    quiet = dict(inputs={"stim": np.zeros((1, 200, 4))}, duration=100 * ms, record=["cells.v"], seed=1)
    for module, alpha in ((surrogate, 1e-3 / 8e-3), (fine, 0.25e-3 / 8e-3)):
        with torch.no_grad():
            v = module(**quiet)["cells.v", mV][-40:, :, 0]
        assert v.std().item() == pytest.approx(2 / np.sqrt(1 - alpha / 2), rel=0.06)  # of Euler's method


def test_validation_at_another_time_step():
    trained = fit(lif_surrogate(), updates=2, validation=Validation(trials=20, every=2, dt=0.5 * ms))
    assert trained.history["validated"][0] is None and trained.history["validated"][1] >= 0
    with pytest.raises(ValueError, match="Give the TimedArrays of a task one common dt"):
        fit(lif_surrogate(), validation=Validation(dt=2 * ms))


# -- truncated and continuous ---------------------------------------------------------------------------


def test_truncated_at_the_whole_is_not_truncated():
    whole, cut, short = (lif_surrogate() for _ in range(3))
    fit(whole, updates=2)
    fit(cut, updates=2, truncate=30 * ms)
    history = fit(short, updates=2, truncate=7 * ms).history
    assert parameters(whole) == parameters(cut) != parameters(short)
    assert history["loss"][0] == fit(lif_surrogate(), updates=1).history["loss"][0]  # the same forward pass
    with pytest.raises(ValueError, match="truncate=0. s is not a time"):
        fit(lif_surrogate(), truncate=0 * ms)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_continuous_training_is_one_long_run(backend):
    """Without learning, three trials in succession equal one of three times the length."""
    surrogate = lif_surrogate(backend=backend)
    seen, rates = [], {name: 0.0 for name in surrogate.named_values()}

    def loss(output, target, mask):
        seen.append((output.detach(), target))
        return (output - target).square().mean()

    fit(surrogate, updates=3, carry=True, learning_rate=rates, loss=loss)
    outputs, targets = (torch.cat(parts) for parts in zip(*seen))
    noise = [surrogate.draw_noise(30 * ms, 4, random_numbers(5, NOISE, update)[1]) for update in (1, 2, 3)]
    joined = {key: torch.cat([part[key] for part in noise]) for key in noise[0]}
    with torch.no_grad():
        whole = surrogate(inputs={"stim": targets.expand(-1, -1, 4)}, record=["out.o", "cells"], noise=joined)
    assert whole["cells"].sum() > 20
    assert torch.equal(outputs, whole["out.o"])


def test_what_cannot_be_continuous():
    cells = NeuronGroup(
        1,
        """dv/dt = (1.5 - v)/tau_m : 1
        last : second
        tau_m : second (constant)""",
        threshold="v > 1",
        reset="v = 0; last = t",
        method="euler",
        name="cells",
        dt=1 * ms,
    )
    cells.tau_m = 10 * ms
    surrogate = bb.Surrogate(bb.wrap(Network(cells), train={"cells.tau_m": None}), bb.Box(width=1))
    with pytest.raises(ValueError, match="set cells.last to a time"):
        bb.fit(surrogate, Sign(), inputs={}, output="cells.v", carry=True)
