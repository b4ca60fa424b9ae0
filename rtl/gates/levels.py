"""In which order the gates of a netlist can be evaluated."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tritforge.accel.errors import InputError

if TYPE_CHECKING:
    from tritforge.rtl.gates.netlist import CellGroup

#: An instance: its cell and its place in the group.
_Place: TypeAlias = tuple[str, int]


def find_levels(
    groups: Mapping[str, "CellGroup"], *, sources: Iterable[int], net_names: Sequence[str], design: str
) -> dict[str, NDArray[np.int64]]:
    """Return the level of every instance: one more than the highest of what it reads.

    Parameters
    ----------
    groups
        Instances by cell, whatever their levels.
    sources
        Nets of constants and input ports.
    net_names, design
        Names, for messages.

    Returns
    -------
    dict
        By cell an array of shape (n,); 0 for what reads sources and flip-flops alone, and for flip-flops.

    Raises
    ------
    InputError
        A net has several drivers or none, or an instance depends on itself.
    """
    drivers = _find_drivers(groups, sources, net_names, design)
    reads: dict[_Place, list[_Place]] = {}
    for kind, group in groups.items():
        for place in range(group.size):
            nets = [int(group.nets[pin][place]) for pin in group.cell.inputs]
            for net in nets:
                if net not in drivers:
                    raise InputError(
                        f"net {net_names[net]} of {design}, which {group.names[place]} reads, has no driver; "
                        "connect it"
                    )
            if group.cell.flip_flop is None:
                reads[kind, place] = [driver for net in nets if (driver := drivers[net]) is not None]
    levels = {kind: np.zeros(group.size, np.int64) for kind, group in groups.items()}
    try:
        for kind, place in TopologicalSorter(reads).static_order():
            levels[kind][place] = max((levels[k][p] + 1 for k, p in reads[kind, place]), default=0)
    except CycleError as error:
        kind, place = error.args[1][0]
        raise InputError(
            f"{groups[kind].names[place]} of {design} ({kind}) depends on itself; remove the loop"
        ) from error
    return levels


def _find_drivers(
    groups: Mapping[str, "CellGroup"], sources: Iterable[int], net_names: Sequence[str], design: str
) -> dict[int, _Place | None]:
    """Return by net the gate that drives it; None for sources and flip-flops."""
    outputs = [
        (int(net), None if group.cell.flip_flop is not None else (kind, place))
        for kind, group in groups.items()
        for pin in group.cell.outputs
        for place, net in enumerate(group.nets[pin])
    ]
    drivers: dict[int, _Place | None] = {}
    for net, driver in [*((source, None) for source in sources), *outputs]:
        if net in drivers:
            raise InputError(f"net {net_names[net]} of {design} has several drivers; one must drive it")
        drivers[net] = driver
    return drivers
