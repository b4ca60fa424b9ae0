"""Tables of `tritforge model inspect`, for a terminal of 80 columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tritforge.cli.tables import new_table, table_console

_KINDS = {
    "divisor": "Scales of kind divisor: the exact sums are divided by them",
    "multiplier": "Scales of kind multiplier: the exact sums are multiplied with them",
}

if TYPE_CHECKING:
    from rich.console import Console

    from tritforge.accel.config import AcceleratorConfig
    from tritforge.models.inspection import Inspection, MatrixFigures


def print_inspection(
    found: "Inspection",
    *,
    each: bool,
    config_name: str,
    accelerator: "AcceleratorConfig",
    fit: dict[str, Any],
) -> None:
    """Print all that was found; `each` lists every matrix by itself."""
    console = table_console(highlight=False)
    _print_source(console, found)
    groups = {matrix.name: [matrix] for matrix in found.matrices} if each else found.kinds
    _print_content(console, groups, found, each=each)
    _print_scales(console, groups, each=each)
    _print_memory(console, found)
    _print_fit(console, config_name, accelerator, fit)


def _print_source(console: "Console", found: "Inspection") -> None:
    config = found.source["config"]
    say = _printer(console)
    say(f"{found.source['path']}: {found.source['format']}", style="bold")
    norms = [
        name
        for name, present in (
            ("sub-norms", config.get("sub_norms", True)),
            ("a norm before every matrix", config.get("linear_norms", False)),
            ("embedding as LM head", config.get("tie_word_embeddings", True)),
        )
        if present
    ]
    head_dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    say(
        f"{config['num_hidden_layers']} layers of {config['hidden_size']}; {config['num_attention_heads']} heads of "
        f"{head_dim}, {config['num_key_value_heads']} of keys and values; network of "
        f"{config['intermediate_size']}, {config.get('hidden_act', 'relu2')}; vocabulary of {config['vocab_size']}; "
        f"{config['max_position_embeddings']} positions, theta {config['rope_theta']:g}"
        + "".join(f"; {name}" for name in norms)
    )
    say(f"{found.weights:,} ternary weights and {found.float_numbers:,} float numbers")
    for note in found.source["notes"]:
        say(f"Note: {note}")


def _printer(console: "Console") -> Any:
    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, soft_wrap=not console.is_terminal)

    return say


def _name(name: str, each: bool) -> str:
    """Shorten ``model.layers.3.mlp.up_proj`` to ``3 up_proj``, and ``mlp.up_proj`` to ``up_proj``."""
    parts = name.split(".")
    return f"{parts[2]} {parts[-1]}" if each else parts[-1]


def _print_content(
    console: "Console", groups: "dict[str, list[MatrixFigures]]", found: "Inspection", *, each: bool
) -> None:
    """Shares and entropy: means over the layers, and the range of the share of zeros."""
    layers = len(next(iter(groups.values())))
    several = not each and layers > 1
    numbers = ("M x K", "-1 %", "0 %", "+1 %", "entropy")
    table = new_table("matrix", numbers=(*numbers, "0 %, range") if several else numbers)
    for name, group in groups.items():
        shares = [sum(matrix.shares[trit] for matrix in group) / len(group) for trit in range(3)]
        row = [
            _name(name, each),
            f"{group[0].m}x{group[0].k}",
            *(f"{100 * share:.1f}" for share in shares),
            f"{sum(matrix.entropy for matrix in group) / len(group):.3f}",
        ]
        table.add_row(*row, *([_range(group)] if several else []))
    table.add_section()
    total = [
        "all",
        "",
        *(f"{100 * count / found.weights:.1f}" for count in found.counts),
        f"{found.entropy:.3f}",
    ]
    table.add_row(*total, *([_range(found.matrices)] if several else []))
    console.print(table)
    means = f", means over {layers} layers" if several else ""
    _printer(console)(f"Shares of the weights -1, 0 and +1 and their entropy in bits a weight{means}.")


def _range(matrices: "Sequence[MatrixFigures]") -> str:
    """Return the range of the share of zeros."""
    shares = [100 * matrix.shares[1] for matrix in matrices]
    return f"{min(shares):.1f}-{max(shares):.1f}"


def _print_scales(console: "Console", groups: "dict[str, list[MatrixFigures]]", *, each: bool) -> None:
    """Rows and columns of zeros, and scales: sums, and the spread over the layers."""
    table = new_table("matrix", numbers=("zero rows", "columns", "scales", "lowest", "mean", "highest"))
    for name, group in groups.items():
        count = sum(matrix.scales for matrix in group)
        mean = sum(matrix.scale_mean * matrix.scales for matrix in group) / count
        table.add_row(
            _name(name, each),
            f"{sum(matrix.zero_rows for matrix in group):,}",
            f"{sum(matrix.zero_columns for matrix in group):,}",
            f"{count:,}",
            f"{min(matrix.scale_low for matrix in group):.5g}",
            f"{mean:.5g}",
            f"{max(matrix.scale_high for matrix in group):.5g}",
        )
    console.print(table)
    kinds = {matrix.scale_kind for group in groups.values() for matrix in group}
    _printer(console)(
        "Rows (outputs) and columns (inputs) all of whose weights are 0. "
        + " ".join(f"{_KINDS[kind]}." for kind in sorted(kinds))
    )


def _print_memory(console: "Console", found: "Inspection") -> None:
    table = new_table("packing", numbers=("bits", "excess", "matrices", "scales", "rest", "total"))
    for memory in found.packings:
        over = memory.bits_per_weight / found.entropy - 1 if found.entropy else float("inf")
        table.add_row(
            memory.packing,
            f"{memory.bits_per_weight:.4f}",
            "-" if memory.packing == "entropy" else f"{100 * over:.1f} %",
            *(
                _bytes(size)
                for size in (memory.matrix_bytes, memory.scale_bytes, memory.float_bytes, memory.total_bytes)
            ),
        )
    console.print(table)
    _printer(console)(
        "Bits a weight, and their excess over the entropy. Rest: embedding, LM head and norms at 16 bits. "
        "Blocks of tq1_0 and tq2_0 hold their scales."
    )


def _print_fit(
    console: "Console", config_name: str, accelerator: "AcceleratorConfig", fit: dict[str, Any]
) -> None:
    say = _printer(console)
    say("")
    if not fit["fits"]:
        say(f"Accelerator {config_name} does not run this model:", style="bold")
        for problem in fit["problems"]:
            say(f"- {problem}")
        return
    size = accelerator.buffer_words * accelerator.lanes * accelerator.act_container_bits // 8
    say(f"Accelerator {config_name} runs this model:", style="bold")
    split = " (in slices)" if fit["largest_k"] > accelerator.k_max else ""
    say(
        f"- buffers: K of {fit['largest_k']:,} at most{split} where {accelerator.k_max:,} fit, M of "
        f"{fit['largest_m']:,} where {accelerator.m_max:,} do; {_bytes(size)} of activations"
    )
    say(
        f"- weights in its image, packing {accelerator.packing}: {_bytes(fit['image_bytes'])}, all read for each pass"
    )
    per_cycle = accelerator.rows * accelerator.lanes
    say(
        f"- ternary products: {fit['cycles_per_token']:,} cycles a token one by one, "
        f"{fit['cycles_per_token_in_batch']:,.0f} in batches of {fit['batch']}, by the cycle model; "
        f"{per_cycle:,} weights a cycle at most"
    )


def _bytes(value: float) -> str:
    """Write a number of bytes with a decimal prefix."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{value / scale:.2f} {unit}"
    return f"{value:.0f} B"
