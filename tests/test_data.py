"""What a caller hands in: every error names the argument, what was expected and what was found."""

from __future__ import annotations

import re

import numpy as np
import pytest
from symprop import Dense, Network
from symprop.data import (
    check_finite,
    convert,
    data_type,
    input_array,
    number_array,
    parameter_arrays,
    seed_number,
    target_array,
    training_data,
)
from symprop.domain import SUITED
from symprop.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    SymPropError,
    UnknownNameError,
)
from symprop.layers.base import flag
from symprop.losses import LOSSES

F32, F64 = np.dtype("float32"), np.dtype("float64")


def network(loss="mse", inputs=3, outputs=2):
    activation = SUITED.get(LOSSES[loss].labels)
    return Network([Dense(outputs, activation=activation)], inputs=inputs, loss=loss)


def raises(error, words):
    return pytest.raises(error, match=re.escape(words))


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["float32", np.float32, np.dtype("float32")])
def test_number_type_is_a_name_or_numpys(given):
    assert data_type(given) == F32


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("float23", UnknownNameError, "dtype: unknown name 'float23'; did you mean 'float32'?"),
        ("<f4", UnknownNameError, "dtype: unknown name '<f4'; known are float32, float64"),
        (np.float16, ArgumentTypeError, "dtype: expected 'float32' or 'float64', got"),
        (np.complex128, ArgumentTypeError, "dtype: expected 'float32' or 'float64', got"),
        (None, ArgumentTypeError, "dtype: expected 'float32' or 'float64', got None"),
        (object(), ArgumentTypeError, "dtype: expected 'float32' or 'float64', got"),
    ],
)
def test_other_number_types_are_refused(given, error, words):
    with raises(error, words):
        data_type(given)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (-1, ArgumentError, "seed: expected at least 0, got -1"),
        (1.5, ArgumentTypeError, "seed: expected a whole number, got float 1.5"),
        (True, ArgumentTypeError, "seed: expected a whole number, got bool True"),
        (None, ArgumentTypeError, "seed: expected a whole number, got NoneType None"),
    ],
)
def test_seed_is_a_whole_number_of_at_least_zero(given, error, words):
    with raises(error, words):
        seed_number(given)
    assert seed_number(np.int64(3)) == 3


def test_flag_is_no_word():
    assert flag("shuffle", np.True_) is True
    with raises(ArgumentTypeError, "shuffle: expected True or False, got 'no'"):
        flag("shuffle", "no")


def test_shape_of_targets_says_what_else_is_accepted():
    net = network(outputs=1)
    with raises(ShapeError, "y: expected shape (4, 1) or (4,), got (4, 2)"):
        target_array(net, np.ones((4, 2)), 4, F64)


def test_class_numbers_with_another_loss_are_told_how_to_be_one_hot():
    words = "y: expected shape (3, 2), got (3,); for class numbers write np.eye(2)[y]"
    with raises(ShapeError, words):
        target_array(network(), [0, 1, 1], 3, F64)
    for other in ([0, 1, 2], [0.0, 1.0, 1.0]):
        with pytest.raises(ShapeError) as caught:
            target_array(network(), other, 3, F64)
        assert "np.eye" not in str(caught.value)


@pytest.mark.parametrize("labels", [["cat", "dog", "cat"], np.array(["cat", "dog", "cat"], "O")])
def test_class_labels_are_refused_with_a_hint_that_numbers_them(labels):
    hint = "with str 'cat' at row 0; number class labels by classes, y = np.unique(y, return_inv"
    for loss, outputs in (("cross_entropy", 2), ("binary_cross_entropy", 1)):
        with raises(ArgumentTypeError, hint):
            target_array(network(loss, outputs=outputs), labels, 3, F64)
    with pytest.raises(ArgumentTypeError) as caught:
        target_array(network("mse", outputs=1), labels, 3, F64)
    assert "np.unique" not in str(caught.value)


# --- arrays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (None, ArgumentTypeError, "x: expected an array of numbers, got NoneType of dtype object"),
        ([["a", "b"]], ArgumentTypeError, "x: expected an array of numbers, got list of dtype <U1"),
        ([[1j]], ArgumentTypeError, "got list of dtype complex128"),
        (
            np.array([[1, None]]),
            ArgumentTypeError,
            "got ndarray of dtype object, with NoneType None at row 0, column 1",
        ),
        ([["1", "2"]], ArgumentTypeError, "of dtype <U1; convert it, as by .astype(float)"),
        (np.array([[1, 2]], object), ArgumentTypeError, "object; convert it, as by .astype(float)"),
        (np.array(["2020"], "M8[Y]"), ArgumentTypeError, "of dtype datetime64[Y]"),
        ([[1, 2], [3]], ShapeError, "x: its rows have different lengths"),
        (np.ma.array([[1.0]], mask=[[True]]), DataError, "x: has masked values"),
    ],
)
def test_only_arrays_of_real_numbers_are_accepted(given, error, words):
    with raises(error, words):
        number_array("x", given)


class Frame:
    """What of a data frame matters here: NumPy can read it."""

    def __array__(self, dtype=None, copy=None):
        return np.arange(6).reshape(2, 3)


@pytest.mark.parametrize("given", [[[0, 1, 2], [3, 4, 5]], Frame(), np.arange(6.0).reshape(2, 3)])
def test_lists_and_frames_become_arrays_of_the_models_type(given):
    array = input_array(network(), given, F32)
    assert array.dtype == F32
    assert array.flags.c_contiguous
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_arrays_that_fit_are_not_copied_and_others_become_contiguous():
    fits = np.ones((4, 3), np.float32)
    assert np.shares_memory(input_array(network(), fits, F32), fits)
    turned = np.arange(12, dtype=np.float32).reshape(3, 4).T
    array = input_array(network(), turned, F32)
    assert array.flags.c_contiguous
    assert (array == turned).all()


def test_read_only_and_swapped_arrays_become_ordinary_ones():
    frozen = np.ones((2, 3))
    frozen.flags.writeable = False
    assert input_array(network(), frozen, F64).flags.writeable
    assert input_array(network(), np.ones((2, 3), ">f8"), F64).dtype.isnative


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "found nan"), (np.inf, "found inf"), (-np.inf, "found -inf")]
)
def test_numbers_that_are_not_finite_are_named_by_row_and_column(value, found):
    x = np.zeros((5, 3))
    x[3, 1] = x[4, 0] = value
    with raises(DataError, f"x: expected finite numbers, {found} at row 3, column 1;"):
        input_array(network(), x, F64)


def test_first_place_is_given_for_any_number_of_axes():
    with raises(DataError, "y: expected finite numbers, found nan at row 1;"):
        check_finite("y", np.array([0, np.nan]))
    with raises(DataError, "found nan at index (0, 0, 1)"):
        check_finite("y", np.array([[[0, np.nan]]]))
    with raises(DataError, "found nan at index ()"):
        check_finite("y", np.array(np.nan))


def test_numbers_beyond_float32_are_refused():
    with raises(DataError, "x: 1e+39 at row 0, column 2 does not fit float32, whose largest"):
        input_array(network(), [[0.0, 1.0, 1e39]], F32)
    assert input_array(network(), [[0.0, 1.0, 1e39]], F64)[0, 2] == 1e39
    assert convert("x", np.array([1e-60]), F32)[0] == 0


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((100, 4), "x: expected shape (N, 3), got (100, 4)"),
        ((3,), "x: expected shape (N, 3), got (3,); write x[None] for one sample"),
        ((5,), "x: expected shape (N, 3), got (5,)"),
        ((2, 3, 1), "x: expected shape (N, 3), got (2, 3, 1)"),
        ((), "x: expected shape (N, 3), got ()"),
    ],
)
def test_wrong_widths_are_named(shape, words):
    with pytest.raises(ShapeError, match=re.escape(words) + "$"):
        input_array(network(), np.zeros(shape), F64)


def test_one_axis_of_single_numbers_is_told_how_to_be_written():
    words = "x: expected shape (N, 1), got (7,); write x.reshape(-1, 1) for 7 samples of one number"
    with raises(ShapeError, words):
        input_array(network(inputs=1), np.zeros(7), F64)


def test_empty_data_is_refused():
    with raises(DataError, "x: expected at least one row, got shape (0, 3)"):
        input_array(network(), np.zeros((0, 3)), F64)


# --- targets ----------------------------------------------------------------------------------


def targets(given, loss, outputs=2, rows=None, dtype=F64):
    rows = len(given) if rows is None else rows
    return target_array(network(loss, outputs=outputs), given, rows, dtype)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("given", [[2, 0, 1], [2.0, 0.0, 1.0], np.array([2, 0, 1], np.uint8)])
def test_class_numbers_become_one_hot_rows(given, dtype):
    y = targets(given, "cross_entropy", 3, dtype=dtype)
    assert y.dtype == dtype
    assert y.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_truth_values_are_two_classes():
    assert targets([True, False], "cross_entropy").tolist() == [[0, 1], [1, 0]]


def test_one_hot_rows_and_distributions_stay():
    rows = [[0.25, 0.75], [1, 0]]
    assert targets(rows, "cross_entropy").tolist() == rows
    assert targets([[1.0], [1.0]], "cross_entropy", 1).tolist() == [[1], [1]]
    assert targets([0, 0], "cross_entropy", 1).tolist() == [[1], [1]]


def test_thirds_in_float32_are_a_distribution():
    y = np.full((4, 3), np.float32(1) / np.float32(3))
    assert targets(y, "cross_entropy", 3, dtype=F32).dtype == F32


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", ["mse", "log_cosh", "poisson", "binary_cross_entropy"])
def test_targets_of_one_output_may_have_one_axis(loss, outputs):
    y = [0.0, 1.0, 1.0, 0.0]
    if outputs == 1:
        assert targets(y, loss, 1).tolist() == [[0], [1], [1], [0]]
    else:
        with raises(ShapeError, "y: expected shape (4, 3), got (4,)"):
            targets(y, loss, 3)


@pytest.mark.parametrize(
    ("loss", "given", "error", "words"),
    [
        ("cross_entropy", [0, 1, 2], DataError, "y: class 2 in row 2 is outside 0 … 1"),
        ("cross_entropy", [0, -1], DataError, "y: class -1 in row 1 is outside 0 … 1"),
        (
            "cross_entropy",
            [0, 0.5],
            DataError,
            "y: expected whole class numbers, found 0.5 in row 1",
        ),
        ("cross_entropy", [0, np.nan], DataError, "y: expected finite numbers, found nan at row 1"),
        ("cross_entropy", ["cat"], ArgumentTypeError, "y: expected an array of numbers, got list"),
        (
            "cross_entropy",
            [[1.5, -0.5]],
            DataError,
            "y: expected one-hot rows, found -0.5 at row 0, column 1; no entry may be negative",
        ),
        (
            "cross_entropy",
            [[1, 0], [1, 1]],
            DataError,
            "y: expected one-hot rows, each with the sum 1, found the sum 2 in row 1",
        ),
        (
            "cross_entropy",
            [[0], [1]],
            ShapeError,
            "of shape (2,) or one-hot rows of shape (2, 2), got (2, 1); write y.ravel()",
        ),
        (
            "cross_entropy",
            [[1, 0, 0]],
            ShapeError,
            "y: expected class numbers of shape (1,) or one-hot rows of shape (1, 2), got (1, 3)",
        ),
        (
            "binary_cross_entropy",
            [[0, 1], [0.5, 1.5]],
            DataError,
            "y: expected values from 0 to 1, found 1.5 at row 1, column 1",
        ),
        (
            "hinge",
            [[1, 0]],
            DataError,
            "y: expected values of −1 or 1, found 0 at row 0, column 1; write 2*y - 1 for 0 and 1",
        ),
        (
            "poisson",
            [[1, -2]],
            DataError,
            "y: expected values of 0 or more, found -2 at row 0, column 1",
        ),
        ("mse", [[1, np.nan]], DataError, "y: expected finite numbers, found nan at row 0, col"),
        ("mse", [[1]], ShapeError, "y: expected shape (1, 2), got (1, 1)"),
    ],
)
def test_targets_that_break_what_the_loss_declares_are_refused(loss, given, error, words):
    with raises(error, words):
        targets(given, loss)


def test_two_classes_on_one_output_are_told_what_to_use():
    with raises(DataError, "use 2 outputs, or sigmoid with binary_cross_entropy"):
        targets([0, 1], "cross_entropy", 1)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_lengths_must_agree(loss):
    with raises(ShapeError, "x and y: expected the same number of rows, got 5 and 4"):
        targets(np.zeros((4, 2)), loss, rows=5)


# --- validation -------------------------------------------------------------------------------

X, Y = np.arange(30.0).reshape(10, 3), np.arange(20.0).reshape(10, 2)


def split(validation, seed=0):
    return training_data(network(), X, Y, validation, seed, F64)


def test_fraction_holds_out_rows_drawn_with_the_seed():
    data = split(0.3)
    held = data.held_out[0]
    assert held.shape == (3, 3)
    assert len(data.rows) == 7
    assert sorted([*X[data.rows, 0], *held[:, 0]]) == X[:, 0].tolist()
    assert (split(0.3).rows == data.rows).all()
    assert any((split(0.3, seed).rows != data.rows).any() for seed in range(1, 5))
    assert (data.held_out[1][:, 0] * 3 == held[:, 0] * 2).all()


def test_rows_held_out_are_not_simply_the_last():
    assert any(split(0.3, seed).rows.tolist() != list(range(7)) for seed in range(3))


def test_pair_is_checked_like_the_training_data():
    data = split((X[:4], Y[:4]))
    assert len(data.rows) == 10
    assert data.held_out[0].shape == (4, 3)
    with raises(ShapeError, "validation x: expected shape (N, 3), got (4, 2)"):
        split((Y[:4], Y[:4]))
    with raises(ShapeError, "validation x and validation y: expected the same number of rows"):
        split((X[:4], Y[:3]))
    with raises(DataError, "validation y: expected finite numbers, found nan at row 0, column 0"):
        split([X[:1], [[np.nan, 0]]])


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (0.0, ArgumentError, "validation: expected a fraction between 0 and 1, got 0.0"),
        (1, ArgumentError, "validation: expected a fraction between 0 and 1, got 1"),
        (-0.5, ArgumentError, "validation: expected a fraction between 0 and 1, got -0.5"),
        (float("nan"), ArgumentError, "validation: expected a fraction between 0 and 1, got nan"),
        (0.01, ArgumentError, "validation: the fraction 0.01 of 10 rows is 0 rows"),
        (0.99, ArgumentError, "validation: the fraction 0.99 of 10 rows is 10 rows"),
        (True, ArgumentTypeError, "validation: expected None, a pair (x, y) or a fraction"),
        ("0.1", ArgumentTypeError, "fraction between 0 and 1, got str"),
        ((X, Y, X), ArgumentTypeError, "fraction between 0 and 1, got tuple"),
    ],
)
def test_other_validation_is_refused(given, error, words):
    with raises(error, words):
        split(given)


# --- parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            {"b11": 1},
            UnknownNameError,
            "parameter: unknown name 'b11'; did you mean 'b1'? known are",
        ),
        ({7: 1}, UnknownNameError, "parameter: unknown name '7'"),
        ({"b1": [1]}, ShapeError, "b1: expected shape (2,), got (1,)"),
        (
            {"W1": np.zeros((3, 2))},
            ShapeError,
            "W1: expected shape (2, 3), got (3, 2); symprop keeps a weight as (outputs, inputs)",
        ),
        ({"b1": [0, np.nan]}, DataError, "b1: expected finite numbers, found nan at row 1"),
        ({"b1": [0, 1e39]}, DataError, "b1: 1e+39 at row 1 does not fit float32"),
        ({"b1": None}, ArgumentTypeError, "b1: expected an array of numbers, got NoneType"),
        ([1], ArgumentTypeError, "parameters: expected a dict of arrays by name, got list"),
    ],
)
def test_parameters_are_checked_against_the_declared_ones(given, error, words):
    with raises(error, words) as caught:
        parameter_arrays(network().parameters, given, F32)
    assert isinstance(caught.value, SymPropError)
