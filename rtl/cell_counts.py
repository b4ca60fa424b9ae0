"""What a netlist takes of an FPGA, in kinds of resources that every family has."""

from collections.abc import Mapping

from tritforge.rtl.synthesis import Synthesis

#: Kinds of resources, in the order of tables, and how a table calls them.
TITLES = {
    "luts": "LUTs",
    "ffs": "FFs",
    "carry": "carry cells",
    "lut_ram": "LUT RAMs",
    "block_ram": "block RAMs",
    "single_port_ram": "single-port RAMs",
    "dsp": "DSP blocks",
}
#: Beginnings of the kinds of cells that are a resource, by family. LUTs and flip-flops are `Synthesis`'s: a carry
#: cell or a LUT RAM that is made of LUTs counts there, too.
_CELLS: dict[str, dict[str, tuple[str, ...]]] = {
    "ecp5": {
        "carry": ("CCU2C",),
        "lut_ram": ("TRELLIS_DPR16X4",),
        "block_ram": ("DP16KD",),
        "dsp": ("MULT", "ALU"),
    },
    "ice40": {
        "carry": ("SB_CARRY",),
        "block_ram": ("SB_RAM40",),
        "single_port_ram": ("SB_SPRAM",),
        "dsp": ("SB_MAC16",),
    },
    "xilinx": {
        "carry": ("CARRY4",),
        "lut_ram": ("RAM32", "RAM64", "RAM128", "RAM256"),
        "block_ram": ("RAMB",),
        "dsp": ("DSP48",),
    },
}


def count_resources(synthesis: Synthesis) -> dict[str, int]:
    """Return how many of each resource a netlist takes, by the names of `TITLES`.

    A block RAM is one whatever its size: RAMB18E1 and RAMB36E1 count one each.
    """
    return {"luts": synthesis.luts, "ffs": synthesis.ffs} | {
        resource: sum(number for kind, number in synthesis.cells.items() if kind.startswith(beginnings))
        for resource, beginnings in _CELLS[synthesis.target].items()
    }


def growth(old: Mapping[str, int], new: Mapping[str, int], *, limit: float) -> dict[str, tuple[int, int]]:
    """Return old and new count of each resource that grew by more than a share.

    Parameters
    ----------
    old, new
        Counts by resource; one that is missing is none.
    limit
        Share of the old count, as 0.03.
    """
    return {
        resource: (old.get(resource, 0), number)
        for resource, number in new.items()
        if number > old.get(resource, 0) * (1 + limit)
    }
