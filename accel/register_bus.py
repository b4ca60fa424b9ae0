"""The bus inside a top: what a control port, AXI4-Lite or link, reads and writes registers over."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: A page of registers is 4 KiB: 1,024 words.
ADDRESS_BITS = 10
WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8


class RegisterBus(wiring.Signature):
    """A port of 32-bit words, seen from the master; one access at a time, answered in the next cycle.

    Members
    -------
    address : Out, word in the page: the byte address over 4; read in the cycle of a strobe
    read, write : Out, strobes of one cycle each, never both; at least one cycle lies between two strobes
    w_data : Out, the word to write
    w_strb : Out, the bytes of it that are written
    r_data : In, the word read, in the cycle after the strobe `read`
    known : In, whether there is a register at the address, in the cycle after either strobe; a word that is not
        known reads as zero, and a write to it does nothing
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "address": Out(ADDRESS_BITS),
                "read": Out(1),
                "write": Out(1),
                "w_data": Out(WORD_BITS),
                "w_strb": Out(WORD_BYTES),
                "r_data": In(WORD_BITS),
                "known": In(1),
            }
        )
