"""The designs of `tritforge bench array`: what is synthesised, and what counts as a lane of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from amaranth.lib import wiring

from tritforge.accel.baselines import FloatLanes, MultiplyArray
from tritforge.accel.boundary import ArrayBoundary, BareDecoder, Datapaths
from tritforge.accel.codes import BIAS_WORD_BITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.decoders import WordDecoder


@dataclass(frozen=True, kw_only=True)
class Design:
    """A design and what it is reported as.

    Attributes
    ----------
    name
        Unique; letters, digits and hyphens.
    role
        ``array``: boundary from input registers to accumulators. ``datapath``: dot products alone. ``decoder``: one
        word of a packing. ``baseline``: what the arrays are compared with.
    config
        Widths; of a baseline those that it uses.
    target
        FPGA family that it is synthesised for.
    lanes
        Ternary products, or multiplications, a cycle; of a decoder the trits of its word.
    latency
        Cycles from operands to sums.
    build
        Makes it.
    routed
        Whether it is placed and routed, or cells counted alone.
    beside
        Whether it is listed for comparison only: one placement is enough.
    """

    name: str
    role: str
    config: AcceleratorConfig
    target: str
    lanes: int
    latency: int
    build: Callable[[], wiring.Component]
    routed: bool = True
    beside: bool = False

    @property
    def datapath(self) -> str:
        """Kind of arithmetic."""
        return self.name.split("-")[2] if self.role == "baseline" else self.config.datapath

    @property
    def structure(self) -> dict[str, int]:
        """Parameters of the datapath's structure that have a meaning here."""
        if self.role in ("baseline", "decoder"):
            return {}
        names: tuple[str, ...] = ()
        if self.config.datapath == "tree":
            names = ("tree_arity", "levels_per_register")
        elif self.config.target == "ecp5":
            names = ("chain_length", "adders_per_chain")
        return {name: getattr(self.config, name) for name in names}


def _label(config: AcceleratorConfig) -> str:
    """Return what sets a configuration apart, for a design's name."""
    parts = [config.datapath, f"{config.lanes}x{config.rows}"]
    if config.act_bits != 8:
        parts.append(f"a{config.act_bits}")
    if config.tokens_max != 16:
        parts.append(f"t{config.tokens_max}")
    if config.datapath == "tree":
        parts += [config.negation, f"arity{config.tree_arity}", f"levels{config.levels_per_register}"]
    elif config.target == "ecp5":
        parts += [f"chain{config.chain_length}", f"pack{config.adders_per_chain}"]
    return "-".join(parts)


def array_design(config: AcceleratorConfig, *, target: str = "ecp5", routed: bool = True) -> Design:
    """Return the array of a configuration with its weight registers."""
    return Design(
        name=f"{target}-array-{_label(config)}",
        role="array",
        config=config,
        target=target,
        lanes=config.lanes * config.rows,
        latency=config.array_latency,
        build=lambda: ArrayBoundary(config),
        routed=routed,
    )


def datapath_design(config: AcceleratorConfig, *, target: str = "ecp5", routed: bool = True) -> Design:
    """Return the dot products of a configuration alone."""
    return Design(
        name=f"{target}-datapath-{_label(config)}",
        role="datapath",
        config=config,
        target=target,
        lanes=config.lanes * config.rows,
        latency=config.datapath_latency,
        build=lambda: Datapaths(config),
        routed=routed,
    )


def decoder_design(config: AcceleratorConfig, *, flag: bool, target: str = "ecp5") -> Design:
    """Return the decoder of one word of a configuration's packing, with its flag of illegal words or without."""
    packing = config.packing
    return Design(
        name=f"{target}-decoder-{packing}{'-flag' if flag else ''}",
        role="decoder",
        config=config,
        target=target,
        lanes=WORDS[packing][0],
        latency=0,
        build=lambda: WordDecoder(packing) if flag else BareDecoder(packing),
        routed=False,
    )


def baseline_design(
    config: AcceleratorConfig, kind: str, *, target: str = "ecp5", routed: bool = True
) -> Design:
    """Return a textbook array, ``naive`` or ``int8``, of a configuration's size."""
    array = MultiplyArray(config, kind)
    return Design(
        name=f"{target}-baseline-{kind}-{config.lanes}x{config.rows}",
        role="baseline",
        config=config,
        target=target,
        lanes=config.lanes * config.rows,
        latency=array.latency,
        build=lambda: array,
        routed=routed,
    )


def float_design(lanes: int, *, target: str = "ecp5", routed: bool = True) -> Design:
    """Return lanes of FP16 multipliers and adders."""
    unit = FloatLanes(lanes)
    return Design(
        name=f"{target}-baseline-fp16-{lanes}",
        role="baseline",
        config=AcceleratorConfig(lanes=lanes, rows=1, act_bits=16, tokens_max=unit.tokens, act_port_bits=16),
        target=target,
        lanes=lanes,
        latency=unit.latency,
        build=lambda: unit,
        routed=routed,
    )


def tree_config(config: AcceleratorConfig) -> AcceleratorConfig:
    """Return a configuration with the portable tree and row biases."""
    return replace(config, datapath="tree", target="generic", negation="bias")


def fused_config(config: AcceleratorConfig, target: str) -> AcceleratorConfig:
    """Return a configuration with the fused datapath of a target."""
    return replace(config, datapath="fused", target=target, negation="carry")


def comparison(
    config: AcceleratorConfig,
    *,
    datapaths: Sequence[str] = ("tree", "fused"),
    packings: Sequence[str] = ("i2", "s5", "s8"),
    targets: Sequence[str] = ("ecp5", "ice40", "xilinx"),
) -> list[Design]:
    """Return the designs that are compared: arrays, datapaths alone, decoders, and what they are better than.

    Parameters
    ----------
    config
        Size of the arrays: lanes, rows, activation bits, tokens, ports.
    datapaths, packings, targets
        Which of them.

    Notes
    -----
    Baselines that do not fit the device at the arrays' size are smaller; cells per lane hardly depend on it.
    Only the arrays and the naive one are placed with several seeds.
    iCE40 has no memory that is read in the cycle of its address, so its array is the one of a single token.
    """
    designs: list[Design] = []
    tree, fused = tree_config(config), fused_config(config, "ecp5")
    one = replace(tree, tokens_max=1)
    if "ecp5" in targets:
        beside: list[Design] = []
        if "fused" in datapaths:
            designs.append(array_design(fused))
            beside += [array_design(replace(fused, tokens_max=1)), datapath_design(fused)]
        if "tree" in datapaths:
            designs.append(array_design(tree))
            beside += [
                array_design(replace(tree, negation="carry")),
                array_design(one),
                datapath_design(tree),
            ]
        small = replace(config, lanes=min(config.lanes, 16), rows=min(config.rows, 4))
        designs.append(baseline_design(config, "naive"))
        beside += [baseline_design(small, "int8"), float_design(8)]
        designs += [replace(design, beside=True) for design in beside]
        designs += [
            decoder_design(replace(config, packing=packing), flag=flag)
            for packing in packings
            for flag in (False, True)
        ]
    if "ice40" in targets and "tree" in datapaths:
        designs += [array_design(one, target="ice40"), datapath_design(tree, target="ice40")]
    if "xilinx" in targets:
        if "fused" in datapaths:
            designs.append(datapath_design(fused_config(config, "xilinx"), target="xilinx"))
        if "tree" in datapaths:
            designs.append(datapath_design(tree, target="xilinx"))
    # Cells are counted for other families than ECP5, whose router is the only one at hand.
    return [design if design.target == "ecp5" else replace(design, routed=False) for design in designs]


def sweep(config: AcceleratorConfig, *, datapaths: Sequence[str] = ("tree", "fused")) -> list[Design]:
    """Return arrays of all structures that the defaults are chosen from, for ECP5, to be counted.

    Two rows are enough, since a row's cells depend on its structure alone; the port shrinks with them, for the beats
    of a tile decide how long trits wait in registers.
    """
    rows = min(config.rows, 2)
    port = max(BIAS_WORD_BITS, config.weight_port_bits * rows // config.rows)
    config = replace(config, rows=rows, weight_port_bits=1 << (port.bit_length() - 1))
    designs = []
    if "fused" in datapaths:
        fused = fused_config(config, "ecp5")
        designs += [
            array_design(replace(fused, chain_length=length, adders_per_chain=adders), routed=False)
            for length in (2, 4, 8, 16, 32)
            if config.lanes % length == 0
            for adders in (1, 2, 4)
        ]
    if "tree" in datapaths:
        tree = tree_config(config)
        designs += [
            array_design(replace(tree, tree_arity=arity, levels_per_register=levels), routed=False)
            for arity in (2, 3, 4)
            for levels in (1, 2)
        ]
    return designs


def best_of_sweep(counted: Sequence[tuple[Design, int]], *, most: int = 3) -> list[Design]:
    """Return the designs of a sweep that are worth routing: those of the fewest LUTs of each datapath."""
    best: list[Design] = []
    for datapath in dict.fromkeys(design.datapath for design, _ in counted):
        mine = sorted(
            (luts, place) for place, (design, luts) in enumerate(counted) if design.datapath == datapath
        )
        best += [replace(counted[place][0], routed=True, beside=True) for _, place in mine[:most]]
    return best


def placements(design: Design, seeds: int) -> int:
    """Return how many placements of a design are made when `seeds` are asked for."""
    if not design.routed:
        return 0
    return 1 if design.beside else seeds
