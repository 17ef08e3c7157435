"""Every file in equations/: it names its source, agrees with Brian2, is trained, and is written back."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from brian2 import *

import brianbridge as bb
from brianbridge.model.files import equations_folder, model_names
from tests.agreement.comparison import compare

MANUAL = Path(__file__).parents[2] / "docs" / "models.md"
SIZES = {"depasquale2016_rate": dict(cells=20, targets=10)}
RATE_NETWORKS = {
    "kim2019_rate",
    "kim2019_rate_fixed",
    "song2016",
    "song2016_free",
    "lin2024_rate",
    "depasquale2016_rate",
}
#: Steps for agreement and rows of the inputs for training; the size of random inputs.
LENGTHS = {
    "kim2019_lif": (150, 2),
    "kim2019_lif_single": (150, 2),
    "hodgkin_huxley": (150, 4),
    "adex": (100, 5),
}
DRIVE = {"lin2024": 20, "adex": 20, "hodgkin_huxley": 10}


def small(name):
    return bb.load(name, seed=1, **SIZES.get(name, dict(cells=20)))


def random_inputs(name, model, rows, *batch):
    """White noise for every timed input, in SI units: (time, n), or with a batch (time, batch, n)."""
    rng = np.random.default_rng(3)
    scale = {timed.name: DRIVE.get(name, 1) * (1e-3 if timed.dimensions is volt.dim else 1.0)
             for timed in model.inputs}  # fmt: skip
    return {
        timed.name: scale[timed.name] * rng.standard_normal((rows, *batch, *timed.values.shape[1:]))
        for timed in model.inputs
    }


@pytest.mark.parametrize("name", model_names())
def test_every_file_states_its_source(name):
    """The file itself, since a variant has a source of its own; and the manual describes it."""
    tables = tomllib.loads((equations_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    assert any([char.isdigit() for char in tables["source"]]), "authors, year and equations"
    assert tables.get("notes") or tables.get("like")
    assert f"`{name}`" in MANUAL.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", model_names())
def test_every_file_agrees_with_brian2(name):
    model = small(name)
    steps, _ = LENGTHS.get(name, (150, None))
    rows = int(np.ceil(steps * model.dt / model.inputs[0].dt))
    result = compare(model.with_inputs(random_inputs(name, model, rows)).network(), steps, namespace={})
    result.assert_agrees()
    if name not in RATE_NETWORKS:
        assert result.total_spikes > 10


class Noise:
    """Random inputs and targets: all that one update needs."""

    name, arguments = "noise", {}

    def __init__(self, name, model, rows):
        self.model, self.rows, self.of = model, rows, name

    def trials(self, rng, batch, dt):
        target = np.ones((self.rows, batch, self.model["out"].n))
        inputs = random_inputs(self.of, self.model, self.rows, batch)
        inputs = {key: values for key, values in inputs.items() if values.ndim == 3}
        return bb.tasks.Trials(inputs, target, np.ones_like(target), {}, {}, float(dt))

    def score(self, output, trials):
        return np.ones(output.shape[1])


def with_a_readout(model):
    """Weights that start at zero, where least squares would find them, let no gradient through."""
    rng = np.random.default_rng(4)
    targets = [trainable.targets[0] for trainable in model.trainable]
    values = {target: model.initial_value(target) for target in targets}
    return model.with_values(
        {t: 0.1 * rng.standard_normal(v.shape) for t, v in values.items() if not v.any()}
    )


def spike_gradient(name):
    """One that reaches far; thresholds are voltages but for those of lin2024."""
    if name in RATE_NETWORKS:
        return None
    return bb.FastSigmoid(width=0.3 if name.startswith("lin2024") else 10 * mV)


@pytest.mark.parametrize("name", model_names())
def test_every_file_is_trained_and_written_back(name):
    model = with_a_readout(small(name))
    _, rows = LENGTHS.get(name, (None, 20))
    gradients = {}
    for backend in ("compiled", "eager"):
        surrogate = bb.Surrogate(model, spike_gradient(name), dtype=torch.float64, backend=backend)
        trained = bb.fit(
            surrogate,
            Noise(name, model, rows),
            inputs={timed.name: timed.name for timed in model.inputs if timed.values.ndim == 2},
            output="out.o",
            updates=1,
            batch=2,
            progress=False,
        )
        gradients[backend] = {key: raw.grad for key, raw in surrogate.named_values().items()}
    assert np.isfinite(trained.history["loss"]).all()
    assert len(trained.values) == len(model.trainable) > 0
    for key, expected in gradients["eager"].items():
        assert expected.isfinite().all() and expected.any(), key
        torch.testing.assert_close(
            gradients["compiled"][key], expected, rtol=1e-6, atol=1e-9 * float(expected.abs().max())
        )
    network = model.network()
    trained.write_to(network)
    for target in (trainable.targets[0] for trainable in model.trainable):
        group, variable = target
        written = network[group].variables[variable].get_value()
        assert np.array_equal(written, trained.model.initial_value(target)), target
        assert not np.array_equal(written, model.initial_value(target)), target
