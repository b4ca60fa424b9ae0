"""Buffers pass every item on, in order, an item a cycle."""

from typing import Any

import pytest
from driving import Sink, Source, simulate

from tritforge.accel.errors import InputError
from tritforge.accel.prefetch_queue import PrefetchQueue
from tritforge.accel.skid_buffer import SkidBuffer
from tritforge.accel.two_places import TwoPlaces


@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)])
@pytest.mark.parametrize(
    ("make", "latency"),
    [(SkidBuffer, 1), (TwoPlaces, 1), (lambda shape: PrefetchQueue(shape, depth=5), 2)],
    ids=["SkidBuffer", "TwoPlaces", "PrefetchQueue"],
)
def test_a_buffer_passes_every_item_on_in_order(make: Any, latency: int, pauses: tuple[float, float]) -> None:
    dut = make(8)
    source, sink = Source(dut.i, list(range(200)), pauses[0]), Sink(dut.o, 200, pauses[1])
    simulate(dut, [source], [sink], seed=3)
    assert sink.items == list(range(200))
    if pauses == (0.0, 0.0):
        assert sink.taken[-1] - source.taken[0] == 199 + latency


def test_a_prefetch_queue_has_a_shortest_depth() -> None:
    with pytest.raises(InputError, match=r"^depth is 1; a prefetch queue holds 2 items or more$"):
        PrefetchQueue(8, depth=1)
