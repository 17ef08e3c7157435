"""Connections by area, balanced weights and the spectral radius, each against its definition."""

import numpy as np
import pytest
from brian2 import *
from brian2.units.fundamentalunits import DimensionMismatchError

import brianbridge as bb


def recurrent(n=60, model="w : volt", **connections):
    cells = NeuronGroup(n, "v : volt\narea : integer (constant)\nkind : 1 (constant)", name="cells")
    cells.area, cells.kind = "i // 20", "i % 2"
    rec = Synapses(cells, cells, model, name="rec")
    rec.connect(**connections)
    return rec


def test_connections_between_areas():
    """Dense inside, 20 % from area 1 to 0, the third area gets nothing from the others."""
    p = [[1, 1, 0], [0.2, 1, 0], [0, 0, 1]]
    rec = recurrent(condition="i != j", p=bb.initial.block_probability("area", p))
    pairs = np.zeros((60, 60))
    pairs[rec.i, rec.j] = 1
    found = pairs.reshape(3, 20, 3, 20).sum(axis=(1, 3))
    assert np.all(np.diag(found) == 380) and found[0, 1] == 400
    assert 50 < found[1, 0] < 110  # 80, with a standard deviation of 8
    assert found[2, :2].sum() == found[:2, 2].sum() == 0


def test_connections_between_areas_and_types():
    rec = recurrent(p=bb.initial.block_probability(("kind", "area"), [[0, 1, 0], [1, 0, 0]]))
    assert {(i % 2, j // 20) for i, j in zip(rec.i[:], rec.j[:])} == {(0, 1), (1, 0)}
    assert len(rec) == 2 * 30 * 20
    assert bb.initial.block_probability("area", [[0]]) == "0.0"


@pytest.mark.parametrize("p", [0.2, [[1.2]], [0.5, 0.5], [[-0.1]]])
def test_no_table_of_probabilities(p):
    with pytest.raises(ValueError, match="block_probability.'area'.*between 0 and 1"):
        bb.initial.block_probability("area", p)


def test_balanced_gamma_weights():
    """Means over many draws, the shape of the distribution, and the balance of every row."""
    rec = recurrent(n=30, condition="i != j", p=0.6)
    inhibitory = np.arange(30) >= 24
    draws = []
    for seed in range(400):
        bb.initial.balanced_gamma(rec, 0.5 * mV, inhibitory, seed=seed)
        draws.append(np.array(rec.w_[:]))
    draws = np.array(draws)
    i, j = rec.i[:], rec.j[:]
    assert np.all((draws < 0) == inhibitory[i])
    for target in range(30):
        row = j == target
        excitatory, other = row & ~inhibitory[i], row & inhibitory[i]
        expected = np.where(inhibitory[i[row]], -excitatory.sum() / max(other.sum(), 1), 1)
        expected *= 0.5e-3 / np.linalg.norm(expected)
        np.testing.assert_allclose(draws[:, row].mean(axis=0), expected, rtol=0.2)
        if other.any():
            assert abs(expected.sum()) < 1e-15
    assert np.mean(draws.std(axis=0) / np.abs(draws.mean(axis=0))) == pytest.approx(1 / np.sqrt(2), rel=0.02)


def test_balanced_gamma_weights_follow_the_seed():
    rec, inhibitory = recurrent(n=10, model="weight : 1"), np.arange(10) == 9
    bb.initial.balanced_gamma(rec, 0.1, inhibitory, seed=3, variable="weight")
    before = np.array(rec.weight[:])
    bb.initial.balanced_gamma(rec, 0.1, inhibitory, seed=3, variable="weight")
    assert np.array_equal(before, rec.weight[:])
    with pytest.raises(ValueError, match="rec comes from 10 neurons, but inhibitory has 3 values"):
        bb.initial.balanced_gamma(rec, 0.1, inhibitory[:3], variable="weight")
    with pytest.raises(ValueError, match="rec has no variable 'w'"):
        bb.initial.balanced_gamma(rec, 0.1, inhibitory)
    with pytest.raises(DimensionMismatchError, match="mean=100. uV is not in the unit of rec.weight"):
        bb.initial.balanced_gamma(rec, 0.1 * mV, inhibitory, variable="weight")


def test_spectral_radius():
    """Of a ring with weight a the eigenvalues are a times the roots of unity."""
    rec = recurrent(n=12, j="(i + 1) % N_post")
    rec.w = 0.3 * mV
    assert bb.initial.spectral_radius(rec) / mV == pytest.approx(0.3)
    bb.initial.scale_to_radius(rec, 1.5 * mV)
    assert rec.w / mV == pytest.approx(1.5)
    with pytest.raises(DimensionMismatchError, match="1.5 is not in the unit of rec.w"):
        bb.initial.scale_to_radius(rec, 1.5)
    plain = recurrent(n=12, model="w : 1", j="(i + 1) % N_post")
    plain.w = 0.3
    bb.initial.scale_to_radius(plain, 1.5)
    assert plain.w[:] == pytest.approx(1.5) and bb.initial.spectral_radius(plain) == pytest.approx(1.5)
    rec.w = 0 * mV
    with pytest.raises(ValueError, match="rec: a spectral radius of 0 cannot be made 1"):
        bb.initial.scale_to_radius(rec, 1 * volt)
    one_way = Synapses(rec.source, NeuronGroup(3, "v : 1"), "w : 1", name="one_way")
    one_way.connect()
    with pytest.raises(ValueError, match="one_way: source and target are different groups"):
        bb.initial.spectral_radius(one_way)


FILE = """
dt = "1*ms"
[groups.cells]
n = 40
model = '''
dv/dt = -v/(10*ms) : volt
area : integer (constant)
'''
threshold = "v > 1*mV"
reset = "v = 0*mV"
values.area = "int(i >= 30)"
[synapses.rec]
source = "cells"
target = "cells"
model = "w : volt (constant, trainable)"
on_pre = "v_post += w"
connect = { by = "area", p = [[1.0, 0.0], [1.0, 0.0]], autapses = false }
values.w = "mV*rand()"
low_rank.w = 2
"""


def test_connections_by_area_in_a_model_file(tmp_path):
    path = tmp_path / "areas.toml"
    path.write_text(FILE)
    model = bb.load(path)
    assert model["rec"].n == 30 * 29 + 10 * 30 and model["rec"].j.max() == 29
    assert model.trainable[0].constraint.modes == 2
    for wrong, message in (
        (FILE.replace("[[1.0, 0.0], [1.0, 0.0]]", "0.5"), "connect.p: 0.5 is not a table of probabilities"),
        (FILE.replace("low_rank.w = 2", "low_rank.w = 0"), r"low_rank.w: LowRank\(0\)"),
        (FILE.replace("low_rank.w = 2", "low_rank.w = 41"), "low_rank.w: rec.w connects 40 to 40 neurons"),
        (FILE.replace('"area", p', '"a b", p'), "connect.by: 'a b' is not a variable"),
    ):
        path.write_text(wrong)
        with pytest.raises(bb.model.files.ModelFileError, match=message):
            bb.load(path)
