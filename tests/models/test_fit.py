"""Whether an accelerator can run a model's matrices."""

import re

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.fit import check_fits, misfits

SHAPES = {"up": (6912, 2560), "down": (2560, 6912), "head": (500, 64)}
TALL = "up has M of 6912, and m_max is 4096: set m_max=6912"
WIDE = "down has K of 6912, and k_max is 4096: set partial_sums=true, or k_max=6912"


@pytest.mark.parametrize(
    ("k_max", "m_max", "partial_sums", "expected"),
    [
        (6912, 6912, False, []),
        (4096, 4096, False, [TALL, WIDE]),
        (4096, 4096, True, [TALL]),
        (1, 6912, True, []),
    ],
)
def test_each_bound_that_is_passed_is_named_with_what_to_change(
    k_max: int, m_max: int, partial_sums: bool, expected: list[str]
) -> None:
    accelerator = AcceleratorConfig(k_max=k_max, m_max=m_max, partial_sums=partial_sums)
    assert misfits(accelerator, SHAPES) == expected
    if not expected:
        for m, k in SHAPES.values():
            for part in accelerator.k_slices(k):
                accelerator.check_job(m, part.stop - part.start, 1)


def test_no_parameter_is_proposed_that_is_out_of_bounds() -> None:
    assert misfits(AcceleratorConfig(), {"huge": (1 << 21, 1 << 16)}) == [
        "huge has M of 2097152, and m_max is 65536: no configuration has as many rows",
        "huge has K of 65536, and k_max is 8192: set partial_sums=true",
    ]


def test_what_does_not_fit_is_refused() -> None:
    check_fits(AcceleratorConfig(), SHAPES)
    with pytest.raises(InputError, match=f"^{re.escape('the accelerator cannot run the model: ' + WIDE)}$"):
        check_fits(AcceleratorConfig(k_max=4096), SHAPES)
