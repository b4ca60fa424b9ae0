"""A small self-checking test bench in plain Verilog, for whoever simulates the core elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from tritforge.accel.job import job_flags
from tritforge.rtl.verilog import GeneratedCore

#: Streams that a plain job does not use.
_IDLE = ("s_axis_partials_", "s_axis_columns_", "m_axis_column_requests_")
_TEMPLATE = Path(__file__).with_name("testbench.v.in")


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """One job with what goes in and what must come out.

    Attributes
    ----------
    m, k, tokens
        The job.
    weights, activations
        Beats of the two streams, one behind the other, lowest byte first.
    expected
        Result words, 32 bits two's complement, in the order in which they leave.
    seed
        What the data were made from.
    """

    m: int
    k: int
    tokens: int
    weights: bytes
    activations: bytes
    expected: tuple[int, ...]
    seed: int


def render(core: GeneratedCore, stimulus: Stimulus, *, stem: str) -> str:
    """Return the test bench of a core.

    Parameters
    ----------
    core
        The core.
    stimulus
        The job that it runs.
    stem
        Name of the core's file without its suffix, for the commands in the header.
    """
    config = core.config

    def beats(name: str, data: bytes, bits: int) -> list[str]:
        size = bits // 8
        values = [int.from_bytes(data[start : start + size], "little") for start in range(0, len(data), size)]
        return [
            f"        {name}[{index}] = {bits}'h{value:0{2 * size}x};" for index, value in enumerate(values)
        ]

    weights = beats("weights", stimulus.weights, config.weight_port_bits)
    activations = beats("activations", stimulus.activations, config.act_port_bits)
    expected = [
        f"        expected[{index}] = 32'h{word & 0xFFFFFFFF:08x};"
        for index, word in enumerate(stimulus.expected)
    ]
    suffixes = ("_tb", "", "_cells") if core.cell_models else ("_tb", "")
    return Template(_TEMPLATE.read_text()).substitute(
        name=core.name,
        stem=stem,
        sources=" ".join(f"{stem}{suffix}.v" for suffix in suffixes),
        idle="".join(_idle(port) for port in core.ports if port["name"].startswith(_IDLE)),
        flags="8'd0, " if job_flags(config) else "",
        m=stimulus.m,
        k=stimulus.k,
        tokens=stimulus.tokens,
        seed=stimulus.seed,
        weight_beats=len(weights),
        act_beats=len(activations),
        words=len(expected),
        weight_top=config.weight_port_bits - 1,
        act_top=config.act_port_bits - 1,
        result_top=config.result_port_bits - 1,
        keep_top=config.result_port_bits // 8 - 1,
        words_per_beat=config.results_per_beat,
        limit=100 * (len(weights) + len(activations) + len(expected)) + 1000,
        contents="\n".join([*weights, *activations, *expected]),
    )


def _idle(port: dict[str, Any]) -> str:
    """Return the connection of a port that nothing drives or reads."""
    value = f"{port['width']}'d0" if port["dir"] == "in" else ""
    return f"        .{port['name']}({value}),\n"
