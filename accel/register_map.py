"""The register map: one definition for the hardware, the C header, the driver and the documentation.

Imports neither Amaranth nor NumPy.
"""

from tritforge.accel.config import DATAPATHS, NEGATIONS, PACKINGS, TARGETS, WEIGHT_STORES, AcceleratorConfig
from tritforge.accel.control_config import NUMBERS, RESULTS, ControlConfig
from tritforge.accel.registers import WORD_BITS, Access, Field, Register, RegisterMap

#: What ID reads: "TFRG".
ID = 0x54465247
#: Version of the map: an addition raises the second number, any other change the first.
VERSION = (1, 0)

#: Bits of ERRORS; those from `JOB_CAUSES` are also bits of JOB_STATUS.
ILLEGAL_JOB, MISALIGNED, QUEUE_FULL, ILLEGAL_TRIT = range(4)
WEIGHT_SLVERR, WEIGHT_DECERR, STORE_SLVERR, STORE_DECERR = range(4, 8)
ABORTED, ADDRESS_RANGE, START_IN_ABORT = range(8, 11)

#: Causes for which a start is refused, by bit.
REFUSALS: dict[int, tuple[str, str]] = {
    ILLEGAL_JOB: (
        "illegal_job",
        "a start was refused: M, K or T is zero or over its bound, or an unknown flag is set",
    ),
    MISALIGNED: (
        "misaligned",
        "a start was refused: an address is no multiple of the bytes of its port's beat, or the stride is not",
    ),
    QUEUE_FULL: ("queue_full", "a start was refused: no job more fits into the queue"),
    ADDRESS_RANGE: ("address_range", "a start was refused: an address has a bit beyond the address width"),
    START_IN_ABORT: ("start_in_abort", "a start was refused: an abort was under way"),
}
#: Causes for which a job fails, by bit.
JOB_CAUSES: dict[int, tuple[str, str]] = {
    ILLEGAL_TRIT: ("illegal_trit", "a weight word was none of the packing's; the results are not to be used"),
    WEIGHT_SLVERR: (
        "weight_slverr",
        "the memory answered a read of weights with SLVERR; zeros took the place of those beats",
    ),
    WEIGHT_DECERR: (
        "weight_decerr",
        "the interconnect answered a read of weights with DECERR; zeros took the place of those beats",
    ),
    STORE_SLVERR: ("store_slverr", "the memory answered a write of results with SLVERR"),
    STORE_DECERR: ("store_decerr", "the interconnect answered a write of results with DECERR"),
    ABORTED: ("aborted", "the job was aborted"),
}
#: Bit of JOB_STATUS that says that the job is completed.
DONE = 31

#: The parameters of a job, in the order of their offsets from JOB_M.
JOB_REGISTERS = (
    "JOB_M",
    "JOB_K",
    "JOB_TOKENS",
    "JOB_FLAGS",
    "WEIGHTS_LO",
    "WEIGHTS_HI",
    "RESULTS_LO",
    "RESULTS_HI",
    "RESULT_STRIDE",
)
_CONTROL, _JOB, _COUNTERS, _JOB_STATUS = 0x040, 0x080, 0x0C0, 0x100


def registers(config: AcceleratorConfig, control: ControlConfig) -> RegisterMap:
    """Return the registers of an accelerator."""
    return RegisterMap(
        (
            *_identification(config, control),
            *_control(),
            *_job(config, control),
            *_counters(),
            _read_only(
                "JOB_STATUS",
                _JOB_STATUS,
                "How the last 16 jobs ended: job number n, counted from 0 after reset, in word n modulo 16. A word "
                "is zero from the job's start to its end",
                *_bits(JOB_CAUSES),
                Field(name="done", shift=DONE, width=1, description="the job is completed, right or failed"),
                count=NUMBERS,
            ),
        )
    )


def _bits(causes: dict[int, tuple[str, str]]) -> tuple[Field, ...]:
    return tuple(
        Field(name=name, shift=bit, width=1, description=text) for bit, (name, text) in sorted(causes.items())
    )


def _fields(*entries: tuple[str, int, str]) -> tuple[Field, ...]:
    """Place fields of these names, widths and descriptions one behind the other from bit 0."""
    placed, shift = [], 0
    for name, width, description in entries:
        placed.append(Field(name=name, shift=shift, width=width, description=description))
        shift += width
    return tuple(placed)


def _read_only(name: str, offset: int, description: str, *fields: Field, count: int = 1) -> Register:
    return Register(
        name=name,
        offset=offset,
        access=Access.READ_ONLY,
        fields=fields,
        description=description,
        count=count,
    )


def _identification(config: AcceleratorConfig, control: ControlConfig) -> list[Register]:
    """Return what the host reads before it packs anything: constants."""
    words: list[tuple[str, str, tuple[tuple[str, int, int, str, tuple[str, ...]], ...]]] = [
        ("ID", "What this is: TFRG in ASCII", (("id", 32, ID, "always 0x54465247", ()),)),
        (
            "VERSION",
            "Version of this map",
            (
                ("minor", 16, VERSION[1], "raised by an addition", ()),
                ("major", 16, VERSION[0], "raised by any other change", ()),
            ),
        ),
        (
            "ARRAY",
            "Size of the array",
            (
                ("lanes", 16, config.lanes, "inputs N of a row in a cycle", ()),
                ("rows", 16, config.rows, "output rows R side by side", ()),
            ),
        ),
        (
            "TOKENS",
            "Tokens and activations",
            (
                ("tokens_max", 16, config.tokens_max, "largest T of a job", ()),
                ("act_bits", 8, config.act_bits, "bits of an activation", ()),
                ("chain_length", 8, config.chain_length, "lanes of a chain, for the datapath `fused`", ()),
            ),
        ),
        ("K_MAX", "Largest K of a job", (("k_max", 32, config.k_max, "largest K", ()),)),
        ("M_MAX", "Largest M of a job", (("m_max", 32, config.m_max, "largest M", ()),)),
        (
            "INPUT_PORTS",
            "Widths of the streams that come in",
            (
                ("weight_port_bits", 16, config.weight_port_bits, "bits of a weight beat", ()),
                ("act_port_bits", 16, config.act_port_bits, "bits of an activation beat", ()),
            ),
        ),
        (
            "OUTPUT_PORT",
            "Width of the results and of addresses",
            (
                ("result_port_bits", 16, config.result_port_bits, "bits of a result beat", ()),
                ("address_bits", 8, control.address_bits, "bits of a byte address", ()),
            ),
        ),
        (
            "FEATURES",
            "What was built",
            (
                ("packing", 4, PACKINGS.index(config.packing), "packing of the weights", PACKINGS),
                ("datapath", 4, DATAPATHS.index(config.datapath), "datapath", DATAPATHS),
                ("negation", 4, NEGATIONS.index(config.negation), "where the +1 of -x enters", NEGATIONS),
                ("target", 4, TARGETS.index(config.target), "cells of the datapath", TARGETS),
                (
                    "weight_store",
                    4,
                    WEIGHT_STORES.index(config.weight_store),
                    "where weights come from",
                    WEIGHT_STORES,
                ),
                ("results", 4, RESULTS.index(control.results), "where results go", RESULTS),
                (
                    "partial_sums",
                    1,
                    int(config.partial_sums),
                    "a job may add its sums to words that it is given",
                    (),
                ),
            ),
        ),
        (
            "QUEUE",
            "Jobs that can be under way",
            (
                ("depth", 8, control.queue_depth, "jobs that may wait for the core", ()),
                ("in_flight", 8, control.in_flight, "jobs that may be started and not completed", ()),
            ),
        ),
        (
            "WEIGHT_STORE",
            "Weight store on the chip",
            (
                (
                    "bytes",
                    32,
                    config.weight_store_bytes if config.weight_store == "bram" else 0,
                    "its size, 0 without one",
                    (),
                ),
            ),
        ),
        (
            "ACTIVATION_STORE",
            "Activation store on the chip",
            (("bytes", 32, control.activation_store_bytes, "its size, 0 without one", ()),),
        ),
        (
            "RESULT_STORE",
            "Result store on the chip",
            (("bytes", 32, control.result_store_bytes, "its size, 0 without one", ()),),
        ),
    ]
    result = []
    for index, (name, description, entries) in enumerate(words):
        fields, word, shift = [], 0, 0
        for field, width, value, text, names in entries:
            fields.append(Field(name=field, shift=shift, width=width, description=text, names=names))
            word |= value << shift
            shift += width
        result.append(
            Register(
                name=name,
                offset=4 * index,
                access=Access.READ_ONLY,
                fields=tuple(fields),
                description=description,
                constant=word,
            )
        )
    return result


def _control() -> list[Register]:
    interrupts = _fields(
        ("done", 1, "a job was completed, right or failed"),
        ("failed", 1, "a job was completed with an error"),
        ("refused", 1, "a start was refused"),
        ("idle", 1, "the last job under way was completed, or an abort ended"),
    )
    return [
        Register(
            name="CONTROL",
            offset=_CONTROL,
            access=Access.STROBE,
            fields=_fields(
                ("start", 1, "put the job that the job registers describe into the queue"),
                ("abort", 1, "throw away all jobs under way and come to rest"),
                ("clear_counters", 1, "set CYCLES and the STALL counters to zero"),
            ),
            description="What the host sets off; write one bit at a time",
        ),
        _read_only(
            "STATUS",
            _CONTROL + 0x04,
            "What is going on",
            Field(name="busy", shift=0, width=1, description="a job is under way, or an abort"),
            Field(name="full", shift=1, width=1, description="a start would be refused with `queue_full`"),
            Field(name="aborting", shift=2, width=1, description="an abort is under way"),
            Field(name="error", shift=3, width=1, description="a bit of ERRORS is set"),
            Field(name="interrupt", shift=4, width=1, description="the interrupt line is high"),
            Field(name="waiting", shift=8, width=5, description="jobs that wait for the core"),
            Field(name="in_flight", shift=16, width=5, description="jobs started and not completed"),
        ),
        Register(
            name="ERRORS",
            offset=_CONTROL + 0x08,
            access=Access.CLEAR,
            fields=_bits(REFUSALS | JOB_CAUSES),
            description="What went wrong since the bits were last cleared; a job's causes appear with its end",
        ),
        Register(
            name="IRQ_STATUS",
            offset=_CONTROL + 0x0C,
            access=Access.CLEAR,
            fields=interrupts,
            description="What happened since the bits were last cleared",
        ),
        Register(
            name="IRQ_ENABLE",
            offset=_CONTROL + 0x10,
            access=Access.READ_WRITE,
            fields=interrupts,
            description="Which bits of IRQ_STATUS raise the interrupt line; it stays high until they are cleared",
        ),
        Register(
            name="SCRATCH",
            offset=_CONTROL + 0x14,
            access=Access.READ_WRITE,
            fields=_fields(("value", 32, "any value; zero after a hard reset, untouched by an abort")),
            description="For the host: it tells a reset",
        ),
    ]


def _job(config: AcceleratorConfig, control: ControlConfig) -> list[Register]:
    low, high = min(control.address_bits, WORD_BITS), max(control.address_bits - WORD_BITS, 0)
    flags = [("accumulate", 1, "add the sums to partial sums")] if config.partial_sums else []
    high_part = _fields(("high", high, "bits 32 and up")) if high else ()
    parameters: dict[str, tuple[str, tuple[Field, ...]]] = {
        "JOB_M": ("Output rows M", _fields(("m", config.m_max.bit_length(), "1 to M_MAX"))),
        "JOB_K": ("Inputs K", _fields(("k", config.k_max.bit_length(), "1 to K_MAX"))),
        "JOB_TOKENS": (
            "Tokens T",
            _fields(("tokens", config.tokens_max.bit_length(), "1 to TOKENS.tokens_max")),
        ),
        "JOB_FLAGS": ("Flags of the job", _fields(*flags)),
        "WEIGHTS_LO": (
            "Byte address of the weight image, a multiple of the bytes of a weight beat",
            _fields(("low", low, "bits 31 to 0")),
        ),
        "WEIGHTS_HI": ("Upper part of that address", high_part),
    }
    if control.results != "stream":
        parameters |= {
            "RESULTS_LO": (
                "Byte address of the results, a multiple of the bytes of a result beat",
                _fields(("low", low, "bits 31 to 0")),
            ),
            "RESULTS_HI": ("Upper part of that address", high_part),
        }
    if control.results == "memory":
        parameters["RESULT_STRIDE"] = (
            "Bytes from one token's row of Y[T, M] to the next, a multiple of the bytes of a result beat",
            _fields(("stride", 32, "at least 4 M where T is over 1")),
        )
    return [
        Register(
            name=name,
            offset=_JOB + 4 * JOB_REGISTERS.index(name),
            access=Access.READ_WRITE,
            fields=fields,
            description=description,
            guarded=True,
        )
        for name, (description, fields) in parameters.items()
    ]


def _counters() -> list[Register]:
    words = [
        ("STARTED", "Jobs taken into the queue since reset; the next one's number"),
        ("COMPLETED", "Jobs completed since reset, right, failed or aborted, in the order of their starts"),
        ("FAILED", "Completed jobs that failed or were aborted"),
        ("CYCLES", "Cycles in which STATUS.busy was set"),
        ("STALL_WEIGHTS", "Cycles in which the core would have taken a weight beat and none was there"),
        (
            "STALL_ACTIVATIONS",
            "Cycles in which the core would have taken an activation beat and none was there",
        ),
        ("STALL_OUTPUT", "Cycles in which a result beat was there and was not taken"),
    ]
    return [
        _read_only(
            name,
            _COUNTERS + 4 * index,
            text,
            Field(name="count", shift=0, width=32, description="modulo 2**32"),
        )
        for index, (name, text) in enumerate(words)
    ]
