"""Parameters of the control side out of their bounds are refused in one line."""

from typing import Any

import pytest

from tritforge.accel.control_config import ControlConfig
from tritforge.accel.errors import InputError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address_bits": 7}, "address_bits is 7; a whole number in 8 to 64 is needed"),
        ({"address_bits": 65}, "address_bits is 65; a whole number in 8 to 64 is needed"),
        ({"address_bits": 32.0}, "address_bits is 32.0; a whole number in 8 to 64 is needed"),
        ({"queue_depth": 0}, "queue_depth is 0; a whole number in 1 to 16 is needed"),
        ({"queue_depth": True}, "queue_depth is True; a whole number in 1 to 16 is needed"),
        ({"in_flight": 6}, "in_flight is 6; a power of two up to 16 is needed"),
        ({"in_flight": 32}, "in_flight is 32; a whole number in 2 to 16 is needed"),
        (
            {"queue_depth": 5, "in_flight": 4},
            "queue_depth is 5; it must not exceed the 4 jobs in flight",
        ),
        ({"results": "file"}, "results is 'file'; it must be one of stream, memory, store"),
        (
            {"activation_store_bytes": -1},
            "activation_store_bytes is -1; a whole number in 0 to 2147483648 is needed",
        ),
    ],
)
def test_a_parameter_out_of_bounds_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        ControlConfig(**change)
    assert str(error.value) == message


def test_bounds_themselves_are_legal() -> None:
    assert ControlConfig(address_bits=64, queue_depth=16, in_flight=16).queue_depth == 16
    assert ControlConfig(address_bits=8, queue_depth=1, in_flight=2).in_flight == 2
