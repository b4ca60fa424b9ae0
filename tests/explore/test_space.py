"""Points by number, axes as they are written, and which points are accelerators."""

import re
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shape import TINY
from sweep_points import device

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.explore.axes import parse_axis, read_sweep_file
from tritforge.explore.legality import legal
from tritforge.explore.space import CHUNK_POINTS, Points, Space, fitting, widest
from tritforge.models.shapes import all_shapes

AXES = {"lanes": (8, 16, 20), "rows": (1, 4), "packing": ("i2", "s8"), "datapath": ("tree", "fused")}
DEVICES = (device(), device(name="chip", family="asic"))


def space(**changes: object) -> Space:
    return Space(**{"models": (TINY,), "devices": DEVICES, "axes": AXES, **changes})  # type: ignore[arg-type]


def configs_of(points: Points) -> list[dict[str, object]]:
    lists = [values.tolist() for values in points.columns.values()]
    return [dict(zip(points.columns, values, strict=True)) for values in zip(*lists, strict=True)]


def test_points_are_all_combinations_once_the_last_axis_fastest() -> None:
    points = space().chunk(0)
    found = [
        (one["lanes"], one["rows"], one["packing"], one["datapath"], place)
        for one, place in zip(configs_of(points), points.device.tolist(), strict=True)
    ]
    wanted = [(*values, place) for place in range(2) for values in product(*AXES.values())]
    assert found == wanted
    assert len(space()) == len(wanted) == len(points)


@given(numbers=st.lists(st.integers(0, 47), min_size=1, max_size=10))
def test_a_point_does_not_depend_on_which_others_are_asked_for(numbers: list[int]) -> None:
    everything, some = space().chunk(0), space().points(np.array(numbers))
    wanted = configs_of(everything)
    assert configs_of(some) == [wanted[number] for number in numbers]


def test_chunks_part_the_points() -> None:
    large = space(axes={"lanes": tuple(range(2, 1002)), "rows": tuple(range(1, 11))})
    assert large.chunks == -(-20_000 // CHUNK_POINTS) == 3
    numbers = np.concatenate([large.chunk(index).numbers for index in range(3)])
    assert numbers.tolist() == list(range(20_000))


def test_fields_follow_model_device_and_datapath_unless_they_are_given() -> None:
    columns = space().chunk(0).columns
    fused = columns["datapath"] == "fused"
    assert set(columns["k_max"]) == {16}
    assert set(columns["target"][fused]) == {"ecp5", "generic"}
    assert set(columns["negation"][fused]) == {"carry"}
    assert set(columns["negation"][~fused]) == {"bias"}
    fixed = space(axes=AXES | {"k_max": (64,)}, following=("k_max", "target")).chunk(0).columns
    assert set(fixed["k_max"]) == {64}
    assert set(fixed["m_max"]) == {AcceleratorConfig().m_max}
    assert set(fixed["negation"]) == {"bias"}


def test_a_fitting_configuration_runs_every_shape() -> None:
    for model in all_shapes().values():
        k, m = widest(model)
        sizes = fitting(model)
        assert k <= sizes["k_max"] < 2 * k
        assert m <= sizes["m_max"] < 2 * m


def test_legal_points_are_those_that_a_configuration_takes_and_the_others_are_counted() -> None:
    everything = space().chunk(0)
    kept = legal(everything)
    taken, told = Counter[bool](), set[str]()
    for number, values in enumerate(configs_of(everything)):
        try:
            AcceleratorConfig.from_dict(values)
            chip = everything.device[number] == 1 and values["datapath"] == "fused"
            assert (number in kept.points.numbers) is not chip
            taken[chip] += 1
        except InputError as error:
            # What a device lacks is told first.
            told |= {str(error)} if values["datapath"] == "tree" else set()
            taken[True] += 1
    assert told
    assert told <= set(kept.skipped)
    assert len(kept.points) == taken[False] > 0
    assert sum(kept.skipped.values()) == taken[True] > 0
    assert kept.skipped["datapath 'fused' on chip, which has no cells for it"] == 12


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ({"rows": (300,)}, "rows is 300; it must lie in 1 to 256"),
        ({"weight_port_bits": (100,)}, "weight_port_bits is 100; it must be a power of two in 16 to 4096"),
        ({"packing": ("i3",)}, "packing is 'i3'; "),
        ({"lanes": (12,)}, "lanes is 12; it must be a multiple of the 8 activations of a beat"),
        ({"k_max": (4,)}, "K is 12 in tiny; k_max 4 without partial_sums does not run it"),
        ({"m_max": (2,)}, "M is 12 in tiny; m_max 2 does not run it"),
        (
            {"weight_store": ("bram",)},
            "weight_store is 'bram'; a sweep's weights come from the memory behind",
        ),
        (
            {"datapath": ("fused",), "target": ("xilinx",)},
            "target 'xilinx' on bench, whose cells are those of ecp5",
        ),
    ],
)
def test_why_a_point_is_no_accelerator_is_said(axes: dict[str, tuple[object, ...]], reason: str) -> None:
    found = legal(space(axes=axes, devices=DEVICES[:1]).chunk(0))
    assert len(found.points) == 0
    (only,) = found.skipped
    assert only.startswith(reason)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ()}, "no model is given; name one at least"),
        ({"devices": (DEVICES[0], DEVICES[0])}, "a device is given twice among bench, bench; keep one"),
        ({"axes": {"wings": (1,)}}, "axis 'wings' is no parameter of a configuration; use lanes, rows"),
        ({"axes": {"rows": ()}}, "axis rows has no values; give one at least"),
        ({"axes": {"rows": (2, 2)}}, "axis rows has a value twice: 2, 2"),
        ({"axes": {"rows": ("two",)}}, "axis rows has the value 'two'; it takes whole numbers"),
        ({"axes": {"rows": ([2],)}}, "axis rows has the value [2]; it takes whole numbers"),
        ({"axes": {"rows": (2, 1 << 31)}}, "axis rows has the value 2147483648; 2147483647 is the most"),
        (
            {"axes": {name: tuple(range(1, 300)) for name in ("rows", "k_max", "m_max")}},
            "the axes have 53,461,798 combinations; a sweep has 2,000,000 points at most",
        ),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        space(**changes)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lanes=16,32,64..512", (16, 32, 64, 128, 256, 512)),
        ("rows=8..32:8", (8, 16, 24, 32)),
        ("rows=3..20", (3, 6, 12)),
        ("packing=i2, s8", ("i2", "s8")),
        ("sparse=true,false", (True, False)),
        ("rows=", ()),
    ],
)
def test_an_axis_is_read(text: str, values: tuple[object, ...]) -> None:
    assert parse_axis(text) == (text.partition("=")[0], values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lanes", "sweep is 'lanes'; NAME=VALUE,VALUE,... is needed"),
        ("lane=3", "axis 'lane' is no parameter of a configuration; did you mean lanes?"),
        ("rows=4,x", "axis rows has the value 'x'; it takes whole numbers"),
        ("rows=8..4", "axis rows has the range '8..4'; LOW..HIGH or LOW..HIGH:STEP is needed, from 1 up"),
        ("rows=8..64:0", "axis rows has the range '8..64:0'; "),
        ("rows=1..9999:1", "axis rows has 9,999 values in '1..9999:1'; 4,096 are the most"),
        (f"rows=1..{10**19}:1", f"axis rows has {10**19:,} values in '1..{10**19}:1'; 4,096 are the most"),
        ("sparse=yes", "axis sparse has the value 'yes'; it takes true or false"),
    ],
)
def test_an_axis_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        parse_axis(text)


def test_a_file_has_models_devices_and_axes(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text('models = ["austen"]\n[sweep]\nlanes = [16, 32]\nrows = "2..8"\n')
    found = read_sweep_file(path)
    assert found.models == ("austen",)
    assert found.devices == ()
    assert found.axes == {"lanes": (16, 32), "rows": (2, 4, 8)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lanes = [2]", "{} has the key 'lanes'; it may have models, devices and sweep"),
        ("models = 3", "{}: models is 3; a list of names is needed"),
        ("sweep = 3", "{}: sweep is 3; a table of axes is needed"),
        ("[sweep]\nlanes = 3", "{}: axis lanes is 3; a list of values is needed"),
        ("[sweep", "{} is not TOML: "),
        (None, "cannot read {}: No such file or directory; give a TOML file"),
    ],
)
def test_a_file_that_says_no_sweep_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "sweep.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(message.format(path))}"):
        read_sweep_file(path)
