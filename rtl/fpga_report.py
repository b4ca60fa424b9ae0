"""What a routed design takes and what it can do, as figures and as a page of Markdown.

An operation is one ternary weight times one activation, added to a sum: one for each lane, row and cycle.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import VerificationError
from tritforge.rtl.board_clock import nearest_below
from tritforge.rtl.boards import Memory
from tritforge.rtl.fpga import FpgaBuild

#: The weight store as a source of weights.
STORE = "weight store on the chip"
#: Bits on a serial line for a byte.
_CHARACTER_BITS = 10
#: Placements after which other seeds are no longer the first thing to try.
_ENOUGH_SEEDS = 8


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A kind of cell: how many a design takes of how many the part has.

    Attributes
    ----------
    name
        What a reader calls it.
    used, total
        Numbers.
    note
        What the number holds or where it is from.
    """

    name: str
    used: int
    total: int
    note: str = ""

    @property
    def percent(self) -> float:
        return 100 * self.used / self.total if self.total else 0.0


@dataclass(frozen=True, kw_only=True)
class ModelBytes:
    """A model as the weight port sees it.

    Attributes
    ----------
    name
        The model.
    bytes_per_token
        Bytes of its weight images that one token of decoding reads, in the configuration's packing and tiles.
    """

    name: str
    bytes_per_token: int


@dataclass(frozen=True, kw_only=True)
class TokenRate:
    """How many tokens a second a source of weights allows.

    Attributes
    ----------
    model
        The model.
    source
        Where the weights come from.
    bytes_per_second
        Rate of that source, at most that of the weight port.
    size_bytes
        What the source holds; None where that is no bound.
    bytes_per_token
        Of the model.
    """

    model: str
    source: str
    bytes_per_second: float
    size_bytes: int | None
    bytes_per_token: int

    @property
    def fits(self) -> bool:
        """Whether the source holds the model's matrices."""
        return self.size_bytes is None or self.bytes_per_token <= self.size_bytes

    @property
    def tokens_per_second(self) -> float:
        """The bound."""
        return self.bytes_per_second / self.bytes_per_token


def resources(build: FpgaBuild) -> list[Resource]:
    """Return what a routed design takes.

    Raises
    ------
    VerificationError
        It takes multipliers, of which a ternary array has none.
    """
    family = build.design.part.family
    used = build.report["utilization"]
    cells = build.synthesis.cells
    found = [
        Resource(name=name, used=used[kind]["used"], total=used[kind]["available"], note=kind)
        for name, kind in family.resources.items()
    ]
    luts = found[0]
    carry, size = family.carry
    carries = Resource(
        name="carry cells",
        used=cells.get(carry, 0),
        total=luts.total // size,
        note=f"{carry}, of the netlist",
    )
    if "FFs" not in family.resources:
        ffs = Resource(name="FFs", used=build.synthesis.ffs, total=luts.total, note="of the netlist")
        found.insert(1, ffs)
    found.insert(1, carries)
    for resource in found:
        if resource.name == "DSP multipliers" and resource.used:
            raise VerificationError(
                f"{build.design.title} takes {resource.used} {resource.note}; a ternary array needs none: "
                "look for a product in the design"
            )
    return found


def operations_per_cycle(config: AcceleratorConfig) -> int:
    """Return the ternary operations of a cycle."""
    return config.lanes * config.rows


def token_rates(
    build: FpgaBuild, models: Sequence[ModelBytes], *, memories: Sequence[Memory] = ()
) -> list[TokenRate]:
    """Return the bounds on decoding that the sources of weights set, one model after the other.

    The store in block RAM is a source of the models that it holds; others pass the serial port for every token.

    Parameters
    ----------
    build
        The design; its clock and weight port bound every source.
    models
        Models.
    memories
        Memories beside the FPGA.
    """
    config, board = build.design.config, build.design.board
    port = port_bytes_per_second(build)
    sources: list[tuple[str, float, int | None]] = []
    if config.weight_store == "bram":
        sources.append((STORE, port, config.weight_store_bytes))
    if board is not None:
        serial = float(build.design.baud) / _CHARACTER_BITS
        sources.append((f"serial port at {float(build.design.baud):,.0f} baud", serial, None))
    else:
        sources.append(("weight port at its full rate", port, None))
    sources += [(memory.name, min(port, memory.bytes_per_second), memory.size_bytes) for memory in memories]
    rates = [
        TokenRate(
            model=model.name,
            source=source,
            bytes_per_second=rate,
            size_bytes=size,
            bytes_per_token=model.bytes_per_token,
        )
        for model in models
        for source, rate, size in sources
    ]
    return [rate for rate in rates if rate.fits or rate.source != STORE]


def working_mhz(build: FpgaBuild) -> float:
    """Return the clock that figures are given at: the wanted one where it closes, else what is reached."""
    return float(build.design.clock_mhz) if build.closes else build.fmax_mhz


def port_bytes_per_second(build: FpgaBuild) -> float:
    """Return what the weight port takes in a second."""
    return build.design.config.weight_port_bits / 8 * working_mhz(build) * 1e6


def timing_advice(build: FpgaBuild) -> str:
    """Return one line on a clock that does not close: by how much, where, and what to change."""
    design = build.design
    wanted, got = float(design.clock_mhz), build.fmax_mhz
    late = 1e3 / got - 1e3 / wanted
    advice = []
    if len(build.tried) < _ENOUGH_SEEDS:
        advice.append(f"more placements (--seeds {_ENOUGH_SEEDS})")
    slower = int(got)
    if design.pll is not None:
        slower_clock = nearest_below(design.part.family.name, design.pll.input_mhz, got)
        advice.append(f"--freq {float(slower_clock):.10g}" if slower_clock else "another board's clock")
    else:
        advice.append(f"--freq {slower}")
    config = design.config
    if config.lanes % (2 * config.acts_per_beat) == 0:
        advice.append(f"fewer lanes (--set lanes={config.lanes // 2})")
    return (
        f"timing fails on {design.title}: {got:.1f} MHz of {wanted:g} MHz, {late:.2f} ns too long in the "
        f"{build.path.end.block}; try {' or '.join(filter(None, (', '.join(advice[:-1]), advice[-1])))}"
    )


def figures(build: FpgaBuild, rates: Sequence[TokenRate]) -> dict[str, Any]:
    """Return all figures by name, for scripts."""
    design = build.design
    config, part = design.config, design.part
    clock = working_mhz(build) * 1e6
    return {
        "ok": build.closes,
        "design": design.name,
        "title": design.title,
        "board": design.board.name if design.board else None,
        "part": part.title,
        "config": config.to_dict(),
        "clock": {
            "reference_mhz": float(design.pll.input_mhz) if design.pll else None,
            "wanted_mhz": float(design.clock_mhz),
            "fmax_mhz": round(build.fmax_mhz, 2),
            "closes": build.closes,
            "every_clock": {
                name: {key: round(value, 2) for key, value in clock.items()}
                for name, clock in build.report["fmax"].items()
            },
        },
        "seed": build.seed,
        "tried": [{"seed": seed, "fmax_mhz": round(fmax, 2)} for seed, fmax in build.tried.items()],
        "resources": [
            {**asdict(resource), "percent": round(resource.percent, 2)} for resource in resources(build)
        ],
        "critical_path": build.path.to_dict(),
        "ternary_operations_per_cycle": operations_per_cycle(config),
        "ternary_operations_per_second": operations_per_cycle(config) * clock,
        "weight_bytes_per_second": port_bytes_per_second(build),
        "multipliers": {
            "kind": part.multiplier,
            "of_the_part": part.multipliers,
            "used": 0,
            "ratio": round(operations_per_cycle(config) / part.multipliers, 3),
        },
        "tokens_per_second": [
            asdict(rate) | {"fits": rate.fits, "tokens_per_second": rate.tokens_per_second} for rate in rates
        ],
        "bitstream": build.bitstream.name if build.bitstream else None,
    }
