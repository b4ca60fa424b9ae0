"""The plot: its data, its files, and what it refuses."""

import struct
from pathlib import Path

import numpy as np
import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.plot import draw_energy, plot_energy
from tritforge.energy.published import figure_3
from tritforge.energy.report import report_model
from tritforge.models.shapes import ModelShape, find_shape

Lines = dict[str, tuple[list[float], list[float]]]


def lines(context: int = 512, node: str = "7nm", extra: ModelShape | None = None) -> Lines:
    """Data of the lines that the legend names."""
    (axes,) = draw_energy(context=context, node=node, extra=extra).axes
    named = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata(), dtype=float).tolist(),
            np.asarray(line.get_ydata(), dtype=float).tolist(),
        )
        for line in named
    }


def test_curves_are_computed_and_points_are_published() -> None:
    drawn = lines()
    for label, quantity in (("FP16", "fp16_energy"), ("ternary (INT8 additions)", "ternary_energy")):
        published = [figure.value for figure in figure_3() if figure.quantity == quantity]
        assert drawn[f"{label}, published"][1] == published
        assert drawn[f"{label}, computed"][1] == pytest.approx(published, rel=1e-4)
        assert drawn[f"{label}, computed"][0] == drawn[f"{label}, published"][0]


@pytest.mark.parametrize(("context", "node"), [(1024, "7nm"), (512, "45nm")])
def test_published_points_stand_only_beside_what_they_measure(context: int, node: str) -> None:
    drawn = lines(context=context, node=node)
    assert set(drawn) == {"FP16, computed", "ternary (INT8 additions), computed"}


def test_one_model_more_is_named_with_its_ratio() -> None:
    shape = find_shape("microsoft/bitnet-b1.58-2B-4T")
    saving = report_model(shape, 512).saving.value
    assert f"bitnet-b1.58-2B-4T: {saving:.2f}×" in lines(extra=shape)


def test_axes_are_logarithmic_and_say_what_they_show() -> None:
    (axes,) = draw_energy(context=256).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_ylabel() == "energy of a prefill of 256 tokens"
    assert "Paper accounting at 7 nm" in axes.get_title()


def test_a_png_is_large_enough_for_print(tmp_path: Path) -> None:
    path = tmp_path / "new" / "energy.png"
    plot_energy(path)
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1080, 720)
    assert [entry.name for entry in path.parent.iterdir()] == ["energy.png"]


def test_an_svg_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot_energy(tmp_path / name)
    first = (tmp_path / "a.svg").read_text()
    assert first == (tmp_path / "b.svg").read_text()
    assert "</svg>" in first


@pytest.mark.parametrize("name", ["energy.jpg", "energy"])
def test_other_file_types_are_refused_before_work_is_done(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        plot_energy(tmp_path / name)
    assert str(caught.value) == f"cannot plot to {tmp_path / name}: the name must end in .png or .svg"
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        plot_energy(tmp_path / "file" / "energy.png")
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'file' / 'energy.png'}: File exists; choose another path"
    )
