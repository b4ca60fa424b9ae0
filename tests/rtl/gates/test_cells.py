"""Functions and tables of standard cells."""

import re

import numpy as np
import pytest
from gate_cells import A, B, C, inverted, join

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.cells import Expression, InputPin, Table2D

MAJORITY = join("or", join("and", A, B), join("and", A, C), join("and", B, C))


def test_a_function_is_evaluated_for_64_streams_in_a_word() -> None:
    a, b, c = np.random.default_rng(0).integers(0, 2**64, (3, 5), np.uint64)
    expected = (a & b) | (a & c) | (b & c)
    assert np.array_equal(MAJORITY.evaluate({"A": a, "B": b, "C": c}), expected)
    assert np.array_equal(join("xor", A, inverted(B)).evaluate({"A": a, "B": b}), a ^ ~b)


def test_a_truth_table_has_the_first_pin_in_its_lowest_place() -> None:
    assert MAJORITY.truth(("A", "B", "C")) == 0b11101000
    assert A.truth(("A", "B")) == 0b1010
    assert inverted(B).truth(("A", "B")) == 0b0011
    assert Expression(operator="constant", name="1").truth(("A",)) == 0b11
    assert MAJORITY.pins == ("A", "B", "C")


def test_a_function_survives_json() -> None:
    assert Expression.from_list(MAJORITY.to_list()) == MAJORITY


def test_an_unknown_operator_is_refused() -> None:
    message = "operator is 'nand'; it must be one of and, or, xor, not, pin, constant"
    with pytest.raises(InputError, match=re.escape(message)):
        Expression(operator="nand")


def test_a_table_is_bilinear_within_and_goes_on_beyond() -> None:
    slew, load = np.array([0.0, 10.0, 30.0]), np.array([1.0, 2.0])
    table = Table2D(slew=slew, load=load, values=slew[:, None] * load)
    assert table.at(5, 1.5) == 7.5
    assert table.at([10, 20, 40, -10], [2, 1.5, 3, 1]).tolist() == [20, 30, 120, -10]


def test_a_table_may_lack_an_axis() -> None:
    one = np.zeros(1)
    assert Table2D(slew=one, load=one, values=np.array([[3.0]])).at([5, 7], 9).tolist() == [3, 3]
    by_load = Table2D(slew=one, load=np.array([0.0, 2.0]), values=np.array([[1.0, 5.0]]))
    assert by_load.at(99, [0, 1, 3]).tolist() == [1, 3, 7]


def test_axes_that_do_not_ascend_or_fit_are_refused() -> None:
    one, two = np.zeros(1), np.array([1.0, 1.0])
    with pytest.raises(InputError, match=re.escape("axis load of a table is [1.0, 1.0]; it must ascend")):
        Table2D(slew=one, load=two, values=np.zeros((1, 2)))
    with pytest.raises(InputError, match=re.escape("a table has (2, 1) values; its axes have (1, 1)")):
        Table2D(slew=one, load=one, values=np.zeros((2, 1)))


def test_a_pins_capacitance_is_the_mean_of_both_edges() -> None:
    assert InputPin(rise_fF=1.0, fall_fF=2.0).capacitance_fF == 1.5
