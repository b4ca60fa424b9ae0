"""Edge devices: tokens per second and joules of memory traffic on named boards."""

from tritforge.accel.presets import load_config
from tritforge.energy.memory import kv_bytes_per_token
from tritforge.energy.report import format_joules
from tritforge.energy.roofline import weight_traffic
from tritforge.energy.technology import default_technology
from tritforge.models.shapes import ModelShape, find_shape
from tritforge.rtl.array_report import markdown_table
from tritforge.rtl.boards import BOARDS
from tritforge.sim.cycles import weight_beats

PAGE = "questions/edge.md"
MODELS = ("SpectraSuite/TriLM_99M", "1bitLLM/bitnet_b1_58-large", "microsoft/bitnet-b1.58-2B-4T")
#: Memories by type, GB/s: one 16-bit channel and what small boards have. Width times transfers a second.
MEMORIES = {
    "DDR3-800, 16 bits": ("DDR3", 16 / 8 * 800e6),
    "DDR4-2400, 32 bits": ("DDR4", 32 / 8 * 2400e6),
    "LPDDR4-3200, 32 bits": ("LPDDR4", 32 / 8 * 3200e6),
    "LPDDR5-6400, 64 bits": ("LPDDR5", 64 / 8 * 6400e6),
}
#: Boards with DRAM enough: the memory's type, bytes a second, bytes, and who says so.
NAMED = {
    "AMD Kria KV260": (
        "DDR4",
        64 / 8 * 2400e6,
        4e9,
        "64 bits of 2,400 Mb/s, data sheet DS987 v1.1, read in a copy",
    ),
    "Raspberry Pi 5": ("LPDDR4X", 32 / 8 * 4267e6, 8e9, "32 bits of 4,267 MT/s, trade press at its launch"),
    "Jetson Orin Nano": ("LPDDR5", 68e9, 8e9, "128 bits, 68 GB/s by its data sheet, as quoted"),
}
#: Models of the named boards, and the context at which the cache is read as well.
ON_BOARDS = (
    "1bitLLM/bitnet_b1_58-large",
    "microsoft/bitnet-b1.58-2B-4T",
    "HF1BitLLM/Llama3-8B-1.58-100B-tokens",
)
CONTEXT = 2048
#: Clock that ports are compared at.
CLOCK_MHZ = 100


def port_seconds(shape: ModelShape, preset: str) -> float:
    """Return the time in which a preset's weight port takes all matrices of a token once, at `CLOCK_MHZ`."""
    config = load_config(preset)
    beats = sum(weight_beats(config, one.outputs, one.inputs) * one.active for one in shape.linears)
    return shape.num_hidden_layers * beats / (CLOCK_MHZ * 1e6)


def named_rows() -> list[list[str]]:
    """Return tokens a second and joules a token of decoding on the named boards."""
    technology, rows = default_technology(), []
    for name in ON_BOARDS:
        shape = find_shape(name)
        weights = weight_traffic(shape, "s8", 1)
        cached = weights + CONTEXT * kv_bytes_per_token(shape, 16)
        for board, (kind, rate, size, _) in NAMED.items():
            energy = technology.row("7nm", f"dram.{kind}").joules.times(round(8 * cached))
            rows.append(
                [
                    shape.name.rsplit("/", 1)[-1],
                    board,
                    f"{rate / weights:.1f}",
                    f"{rate / cached:.1f}" if cached <= size else "does not fit",
                    format_joules(energy),
                ]
            )
    return rows


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    technology = default_technology()
    bound, board_rows = [], []
    for name in MODELS:
        shape = find_shape(name)
        traffic = weight_traffic(shape, "s8", 1)
        for memory, (kind, rate) in MEMORIES.items():
            energy = technology.row("7nm", f"dram.{kind}").joules.times(round(8 * traffic))
            bound.append(
                [shape.name, memory, f"{traffic / 1e9:.3f}", f"{rate / traffic:,.1f}", format_joules(energy)]
            )
        for board in BOARDS.values():
            if board.memory is None:
                continue
            config = load_config(board.preset)
            memory_rate = board.memory.bytes_per_second / traffic
            fits = "" if traffic <= board.memory.size_bytes else "does not fit"
            port = 1 / port_seconds(shape, board.preset)
            board_rows.append(
                [
                    shape.name,
                    board.title,
                    f"{board.memory.name}, {board.memory.bytes_per_second / 1e6:.0f} MB/s",
                    f"{config.lanes} x {config.rows}",
                    f"{memory_rate:.2f}",
                    f"{port:.2f}",
                    fits,
                ]
            )
    return {
        "memories": markdown_table(
            ("model", "memory", "GB a token", "tokens/s at most", "DRAM energy a token"), bound, text=2
        ),
        "memory_of_boards": markdown_table(
            ("board", "memory", "source", "GB", "GB/s"),
            [
                [board, kind, source, f"{size / 1e9:.0f}", f"{rate / 1e9:.1f}"]
                for board, (kind, rate, size, source) in NAMED.items()
            ],
            text=3,
        ),
        "named": markdown_table(
            (
                "model",
                "board",
                "tokens/s at most",
                f"at a context of {CONTEXT:,}",
                "DRAM energy a token there",
            ),
            named_rows(),
            text=2,
        ),
        "boards": markdown_table(
            (
                "model",
                "board",
                "memory",
                "array",
                "tokens/s of the memory",
                f"of the weight port at {CLOCK_MHZ} MHz",
                "",
            ),
            board_rows,
            text=4,
        ),
    }
