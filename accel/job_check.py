"""What a job asks for, and whether it may start: a comparison a register, none behind another."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.descriptor import STRIDE_BITS
from tritforge.accel.job import job_layout


def parameters_layout(config: AcceleratorConfig, control: ControlConfig) -> StructLayout:
    """Layout of what the job registers hold: the job, byte addresses of weights and results, and the stride."""
    return StructLayout(
        {
            "job": job_layout(config),
            "weights": control.address_bits,
            "results": control.address_bits,
            "stride": STRIDE_BITS,
        }
    )


class JobCheck(wiring.Component):
    """Compares a job with the bounds. The verdict is that of the parameters two cycles before.

    Parameters
    ----------
    config, control
        The bounds.

    Members
    -------
    parameters : In, `parameters_layout`
    job_beyond, address_beyond : In, whether a bit is set that does not fit into the parameters, in M, K, T and the
        flags, and in addresses and stride
    illegal, misaligned, out_of_range : Out, why the job must not start
    found : Out, the three a cycle earlier
    """

    def __init__(self, config: AcceleratorConfig, control: ControlConfig) -> None:
        self.config = config
        self.control = control
        super().__init__(
            {
                "parameters": In(parameters_layout(config, control)),
                "job_beyond": In(1),
                "address_beyond": In(1),
                "illegal": Out(1),
                "misaligned": Out(1),
                "out_of_range": Out(1),
                "found": Out(3),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config, job = self.config, self.parameters.job
        bounds = {"m": config.m_max, "k": config.k_max, "tokens": config.tokens_max}
        wrong: list[Value] = [self.job_beyond]
        for name, high in bounds.items():
            value = job[name]
            wrong += [value == 0, value > high]
        odd = [self.parameters.weights[: _address_bits(config.weight_port_bits)].any()]
        low = _address_bits(config.result_port_bits)
        if self.control.results != "stream":
            odd.append(self.parameters.results[:low].any())
        if self.control.results == "memory":
            odd.append(self.parameters.stride[:low].any())
        reasons = (
            (self.illegal, wrong),
            (self.misaligned, odd),
            (self.out_of_range, [self.address_beyond]),
        )
        for index, (verdict, conditions) in enumerate(reasons):
            # After a reset all is wrong, until it was compared.
            found = Signal(len(conditions), init=(1 << len(conditions)) - 1, name=f"found_{verdict.name}")
            m.d.sync += [found.eq(Cat(conditions)), verdict.eq(self.found[index])]
            m.d.comb += self.found[index].eq(found.any())
        return m


def _address_bits(port_bits: int) -> int:
    """Address bits below a beat of a port."""
    return (port_bits // 8).bit_length() - 1
