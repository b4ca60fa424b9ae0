"""The bench of an AXI top: its ports as signals that Python drives, and the protocol's rules watched beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tritforge.accel.axi_config import AxiConfig
from tritforge.rtl.verilog import GeneratedCore
from tritforge.sim.simulator import Bench

RULES = Path(__file__).with_name("axi_rules.sv")
#: Channels whose valid is an output: the name before `valid`, `ready` and the payload's names.
CHANNELS = {
    "s_axi_control_b": "b",
    "s_axi_control_r": "r",
    "m_axi_weights_ar": "ar",
    "m_axi_results_aw": "aw",
    "m_axi_results_w": "w",
    "m_axis_results_t": "t",
}
PUBLIC = "/* verilator public_flat_rw */"


def _span(port: dict[str, Any]) -> str:
    return f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""


def _instance(module: str, name: str, parameters: dict[str, int], **wires: str) -> str:
    """Return an instance of one of the rules, which all have clock and reset."""
    values = ", ".join(f".{parameter}({value})" for parameter, value in parameters.items())
    overrides = f"#({values}) " if parameters else ""
    connections = ", ".join(f".{port}({wire})" for port, wire in wires.items())
    return f"{module} {overrides}{name} (.aclk(aclk), .aresetn(aresetn), {connections});"


def _stable(channel: str, ports: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rule that a channel waits unchanged, and the count of its transfers."""
    valid, ready = f"{channel}valid", f"{channel}ready"
    payload = [
        port
        for port in ports
        if port["name"].startswith(channel) and port["name"] not in {valid, ready} and port["dir"] == "out"
    ]
    return [
        f"wire [31:0] {channel}_taken {PUBLIC};",
        f"wire {channel}_broken;",
        _instance(
            "axi_stable",
            f"{channel}_rule",
            {"WIDTH": sum(port["width"] for port in payload)},
            valid=valid,
            ready=ready,
            payload=f"{{{', '.join(port['name'] for port in payload)}}}",
            taken=f"{channel}_taken",
            broken=f"{channel}_broken",
        ),
    ]


def _bursts(channel: str, axi: AxiConfig, beat_bytes: int, answered: str) -> list[str]:
    """Return the rules of a channel of addresses, and the most bursts that were under way."""
    parameters = {
        "ADDRESS_BITS": axi.address_bits,
        "BEAT_BYTES": beat_bytes,
        "BURST_BEATS": axi.burst_beats,
        "OUTSTANDING": axi.outstanding,
    }
    return [
        f"wire [31:0] {channel}_most {PUBLIC};",
        f"wire [3:0] {channel}_bursts_broken;",
        _instance(
            "axi_bursts",
            f"{channel}_bursts",
            parameters,
            valid=f"{channel}valid",
            ready=f"{channel}ready",
            address=f"{channel}addr",
            length=f"{channel}len",
            size=f"{channel}size",
            burst=f"{channel}burst",
            answered=answered,
            most=f"{channel}_most",
            broken=f"{channel}_bursts_broken",
        ),
    ]


def axi_bench(cores: Sequence[GeneratedCore], axi: AxiConfig) -> Bench:
    """Return the bench around AXI tops of the same ports.

    Only the one that is `chosen` is fed and heard; the others stay in reset. One simulator for all compiles faster
    than one for each.

    Parameters
    ----------
    cores
        The tops, named apart where there are several.
    axi
        What the first one was generated with.
    """
    first = cores[0]
    config = first.config
    ports = [port for port in first.ports if port["name"] not in {"aclk", "aresetn"}]
    names = {port["name"] for port in ports}
    lines = [
        f"module bench (input wire aclk {PUBLIC});",
        f"reg reset_request {PUBLIC} = 1;",
        f"reg aresetn {PUBLIC} = 0;",
        f"reg [{max(1, (len(cores) - 1).bit_length()) - 1}:0] chosen {PUBLIC} = 0;",
        f"reg [31:0] cycle {PUBLIC} = 0;",
        "always @(posedge aclk) begin aresetn <= ~reset_request; cycle <= cycle + 1; end",
    ]
    for port in ports:
        kind, start = ("reg", " = 0") if port["dir"] == "in" else ("wire", "")
        lines.append(f"{kind} {_span(port)}{port['name']} {PUBLIC}{start};")
        if port["dir"] == "out":
            # Two at least: an index has a bit.
            lines.append(f"wire {_span(port)}{port['name']}_of [0:{max(1, len(cores) - 1)}];")
            lines.append(f"assign {port['name']} = {port['name']}_of[chosen];")
    for number, core in enumerate(cores):
        wires = {port["name"]: port["name"] for port in ports}
        wires |= {port["name"]: f"{port['name']}_of[{number}]" for port in ports if port["dir"] == "out"}
        wires |= {"aclk": "aclk", "aresetn": f"aresetn && chosen == {number}"}
        connections = ", ".join(f".{name}({wire})" for name, wire in wires.items())
        lines.append(f"{core.name} dut{number} ({connections});")
    channels = [channel for channel in CHANNELS if f"{channel}valid" in names]
    for channel in channels:
        lines += _stable(channel, ports)
    read = "m_axi_weights_r"
    lines += _bursts(
        "m_axi_weights_ar", axi, config.weight_port_bits // 8, f"{read}valid && {read}ready && {read}last"
    )
    rules = [f"{channel}_broken" for channel in channels] + ["m_axi_weights_ar_bursts_broken"]
    if axi.write_master:
        write = "m_axi_results"
        lines += _bursts(
            f"{write}_aw", axi, config.result_port_bits // 8, f"{write}_bvalid && {write}_bready"
        )
        taken = "{0}valid && {0}ready"
        beats = _instance(
            "axi_write_beats",
            "beats",
            {},
            length=f"{write}_awlen",
            address_taken=taken.format(f"{write}_aw"),
            beat_taken=taken.format(f"{write}_w"),
            last=f"{write}_wlast",
            broken="beats_broken",
        )
        lines += ["wire beats_broken;", beats]
        rules += [f"{write}_aw_bursts_broken", "beats_broken"]
    # The reader asks for no more than it has room for, so that a beat never waits.
    lines += [
        f"wire [31:0] broken {PUBLIC} = 32'({{{', '.join(rules)}}});",
        f"reg [31:0] read_waits {PUBLIC} = 0;",
        f"always @(posedge aclk) if (aresetn && {read}valid && !{read}ready) read_waits <= read_waits + 1;",
        "endmodule\n",
    ]
    text = "".join(core.text for core in cores) + "\n".join(lines)
    text = "// verilator lint_off CASEINCOMPLETE\n" + text
    return Bench(text=text, files=(*first.cell_models, RULES))
