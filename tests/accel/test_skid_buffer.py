"""A skid buffer passes every item on, an item a cycle."""

import pytest
from driving import Sink, Source, simulate

from tritforge.accel.skid_buffer import SkidBuffer


@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)])
def test_a_skid_buffer_passes_every_item_on_in_order(pauses: tuple[float, float]) -> None:
    dut = SkidBuffer(8)
    source, sink = Source(dut.i, list(range(200)), pauses[0]), Sink(dut.o, 200, pauses[1])
    simulate(dut, [source], [sink], seed=3)
    assert sink.items == list(range(200))
    if pauses == (0.0, 0.0):
        assert sink.taken[-1] - source.taken[0] == 200
