"""Cycles of the dataflow: a layer's products by the number of tokens, from the cycle model."""

from tritforge.accel.presets import load_config
from tritforge.models.shapes import find_shape
from tritforge.rtl.array_report import markdown_table
from tritforge.sim.cycles import batch_cycles
from tritforge.sim.jobs import Job

PAGE = "dataflow.md"
MODEL = "bitnet-b1.58-2B-4T"
MATRICES = ("q_proj", "down_proj")


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    shape, rows = find_shape(MODEL), []
    for preset in ("default", "decode", "wide"):
        config = load_config(preset)
        for linear in shape.linears:
            kind = linear.name.rsplit(".", 1)[-1]
            if kind not in MATRICES or linear.inputs > config.k_max:
                continue
            for tokens in (1, 4, 16):
                if tokens > config.tokens_max:
                    continue
                found = batch_cycles(config, [Job(m=linear.outputs, k=linear.inputs, tokens=tokens)])
                rows.append(
                    [
                        f"`{preset}`, {config.lanes} x {config.rows}, port of {config.weight_port_bits}",
                        f"{kind}, {linear.outputs} x {linear.inputs}",
                        str(tokens),
                        f"{found.total:,}",
                        f"{100 * found.utilisation:.1f}",
                        found.bound,
                    ]
                )
    return {
        "layer": markdown_table(
            ("accelerator", "matrix", "tokens", "cycles", "utilisation, %", "bound"), rows, text=2
        )
    }
