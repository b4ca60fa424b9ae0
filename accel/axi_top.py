"""The AXI top: registers over AXI4-Lite, weights over an AXI4 read master, activations and results over streams."""

from amaranth.hdl import Cat, ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.axi import AxiLite, connect_ports, port_members, read_bus, write_bus
from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.axi_lite import BYTE_ADDRESS_BITS, AxiLiteRegisters
from tritforge.accel.axi_reader import AxiReader
from tritforge.accel.axi_writer import AxiWriter
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.core import Core


class AxiCore(wiring.Component):
    """A controlled core behind AXI, with the port names that FPGA tools group into interfaces.

    Parameters
    ----------
    config
        The accelerator.
    axi
        The bus side.
    core
        The core to control instead of the one that `config` describes.

    Members
    -------
    aclk, aresetn : In, clock, and reset, which is synchronous and low
    s_axi_control_* : AXI4-Lite slave, the registers of `tritforge.accel.register_map`
    m_axi_weights_* : AXI4 read master, `weight_port_bits` of data
    m_axi_results_* : AXI4 write master, `result_port_bits` of data; with `write_master`, in place of m_axis_results
    s_axis_activations_* : AXI4-Stream, `act_port_bits`
    s_axis_partials_* : AXI4-Stream, `result_port_bits`; with `partial_sums`
    m_axis_results_* : AXI4-Stream, `result_port_bits`, TLAST with a job's last beat
    irq : Out, a level

    Raises
    ------
    InputError
        An accelerator that cannot stand behind AXI masters; see `AxiConfig.check`.
    """

    def __init__(self, config: AcceleratorConfig, axi: AxiConfig, *, core: Core | None = None) -> None:
        axi.check(config)
        self.config = config
        self.axi = axi
        self.core = core
        partials = {
            "s_axis_partials_tvalid": In(1),
            "s_axis_partials_tready": Out(1),
            "s_axis_partials_tdata": In(config.result_port_bits),
        }
        results = {
            "m_axis_results_tvalid": Out(1),
            "m_axis_results_tready": In(1),
            "m_axis_results_tdata": Out(config.result_port_bits),
            "m_axis_results_tkeep": Out(config.result_port_bits // 8),
            "m_axis_results_tlast": Out(1),
        }
        if axi.write_master:
            results = port_members("m_axi_results", write_bus(config, axi.address_bits))
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                **port_members("s_axi_control", AxiLite(address_bits=BYTE_ADDRESS_BITS).flip()),
                **port_members("m_axi_weights", read_bus(config, axi.address_bits)),
                "s_axis_activations_tvalid": In(1),
                "s_axis_activations_tready": Out(1),
                "s_axis_activations_tdata": In(config.act_port_bits),
                **(partials if config.partial_sums else {}),
                **results,
                "irq": Out(1),
            }
        )

    def make_registers(self) -> AxiLiteRegisters:
        """Return what turns AXI4-Lite into accesses of registers."""
        return AxiLiteRegisters()

    def make_controlled(self) -> ControlledCore:
        """Return the core with its registers and job queue."""
        return ControlledCore(self.config, self.axi.control, core=self.core, core_domain="core")

    def make_reader(self) -> AxiReader:
        """Return the read master."""
        return AxiReader(self.config, self.axi)

    def make_writer(self) -> AxiWriter:
        """Return the write master."""
        return AxiWriter(self.config, self.axi)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.domains.sync = sync = ClockDomain(local=True)
        m.domains.core = core = ClockDomain(local=True)
        sync.clk = core.clk = self.aclk
        m.d.comb += sync.rst.eq(~self.aresetn)

        m.submodules.registers = registers = self.make_registers()
        m.submodules.controlled = controlled = self.make_controlled()
        m.submodules.reader = reader = self.make_reader()
        connect_ports(m, self, "s_axi_control", registers.axi)
        connect_ports(m, self, "m_axi_weights", reader.axi)
        wiring.connect(m, registers.registers, controlled.registers)
        wiring.connect(m, controlled.fetches, reader.jobs)
        wiring.connect(m, reader.beats, controlled.weights)
        m.d.comb += [
            reader.quiesce.eq(controlled.quiesce),
            controlled.activations.valid.eq(self.s_axis_activations_tvalid),
            controlled.activations.payload.eq(self.s_axis_activations_tdata),
            self.s_axis_activations_tready.eq(controlled.activations.ready),
            self.irq.eq(controlled.irq),
        ]
        if self.config.partial_sums:
            m.d.comb += [
                controlled.partials.valid.eq(self.s_axis_partials_tvalid),
                controlled.partials.payload.eq(self.s_axis_partials_tdata),
                self.s_axis_partials_tready.eq(controlled.partials.ready),
            ]
        if self.axi.write_master:
            self._write_results(m, controlled, reader)
        else:
            self._stream_results(m, controlled, reader)
        return m

    def _write_results(self, m: Module, controlled: ControlledCore, reader: AxiReader) -> None:
        """Let the write master put results into memory; a job ends when memory has acknowledged them."""
        m.submodules.writer = writer = self.make_writer()
        connect_ports(m, self, "m_axi_results", writer.axi)
        wiring.connect(m, controlled.stores, writer.stores)
        m.d.comb += [
            writer.results.payload.eq(controlled.results.payload),
            writer.results.valid.eq(controlled.results.valid & ~controlled.quiesce),
            # In an abort the core gives the rest of a packet away, and nobody waits for it.
            controlled.results.ready.eq(writer.results.ready | controlled.quiesce),
            writer.quiesce.eq(controlled.quiesce),
            controlled.quiet.eq(reader.quiet & writer.quiet),
            controlled.stored.eq(writer.stored),
            controlled.store_error.eq(writer.store_error),
        ]

    def _stream_results(self, m: Module, controlled: ControlledCore, reader: AxiReader) -> None:
        """Give results to the stream; a job ends when its last beat is taken."""
        beat = controlled.results.payload
        m.d.comb += [
            self.m_axis_results_tvalid.eq(controlled.results.valid),
            self.m_axis_results_tdata.eq(Cat(*beat.words)),
            self.m_axis_results_tkeep.eq(Cat(bit.replicate(4) for bit in beat.keep)),
            self.m_axis_results_tlast.eq(beat.last),
            controlled.results.ready.eq(self.m_axis_results_tready),
            # Where the results go is for whoever takes the stream to know.
            controlled.stores.ready.eq(1),
            controlled.stored.eq(self.m_axis_results_tvalid & self.m_axis_results_tready & beat.last),
            controlled.quiet.eq(reader.quiet),
        ]
