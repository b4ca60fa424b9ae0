"""An accelerator behind the link in Python: registers by the map, stores, and the golden product."""

from collections.abc import Iterable

import numpy as np

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.errors import InputError
from tritforge.accel.link_top import link_control
from tritforge.accel.register_map import (
    ABORTED,
    ADDRESS_RANGE,
    DONE,
    ILLEGAL_JOB,
    ILLEGAL_TRIT,
    MISALIGNED,
    registers,
)
from tritforge.accel.registers import Access
from tritforge.models.image import image_bytes, unpack_image
from tritforge.models.operands import order_results
from tritforge.sim.device import ACTIVATIONS_BASE, RESULTS_BASE, WEIGHTS_BASE
from tritforge.sim.golden import ternary_matmul
from tritforge.sim.link_protocol import WORD_BYTES

#: Cycles that every job takes here.
CYCLES = 100


class FakeAccelerator:
    """What lies behind the link.

    Attributes
    ----------
    started
        M, K and T of every job that it took since it was made, resets or not.
    patience
        Reads of registers that a job takes.
    hangs
        Whether jobs never end.
    """

    def __init__(self, config: AcceleratorConfig, control: ControlConfig | None = None) -> None:
        self.config = config
        self.control = control or link_control(config)
        self.map = registers(config, self.control)
        self.started: list[tuple[int, int, int]] = []
        self.patience, self.hangs = 2, False
        self._random = np.random.default_rng(0)
        self.reset()

    def reset(self) -> None:
        """As when the bitstream is loaded; the stores may hold anything, legal weights even."""
        control = self.control
        sizes = {
            WEIGHTS_BASE: self.config.weight_store_bytes,
            ACTIVATIONS_BASE: control.activation_store_bytes,
            RESULTS_BASE: control.result_store_bytes,
        }
        self.stores = {
            base: bytearray(self._random.integers(0, 256, size, dtype=np.uint8).tobytes())
            for base, size in sizes.items()
        }
        self.words = {offset: self.map.words[offset][0].constant or 0 for offset in self.map.words}
        self._left = 0

    def fits(self, address: int, words: int, *, write: bool) -> bool:
        if address % WORD_BYTES:
            return False
        base = address & ~0xFFF_FFFF
        if base == 0:
            return address + words * WORD_BYTES <= 0x1000
        if base not in self.stores or write == (base == RESULTS_BASE):
            return False
        return address - base + words * WORD_BYTES <= len(self.stores[base])

    def known(self, address: int) -> bool:
        return address >= WEIGHTS_BASE or address in self.words

    def read_word(self, address: int) -> int:
        if address >= WEIGHTS_BASE:
            base = address & ~0xFFF_FFFF
            return int.from_bytes(self.stores[base][address - base : address - base + WORD_BYTES], "little")
        if self._left and not self.hangs:
            self._left -= 1
            if not self._left:
                self._end()
        if address not in self.words or self.map.words[address][0].access == Access.STROBE:
            return 0
        return self.words[address]

    def write_word(self, address: int, value: int) -> None:
        if address >= WEIGHTS_BASE:
            base = address & ~0xFFF_FFFF
            self.stores[base][address - base : address - base + WORD_BYTES] = value.to_bytes(
                WORD_BYTES, "little"
            )
            return
        if address not in self.words:
            return
        register = self.map.words[address][0]
        if register.access == Access.READ_WRITE:
            self.words[address] = value & register.mask
        elif register.access == Access.CLEAR:
            self.words[address] &= ~value
        elif register.name == "CONTROL":
            control = register.decode(value)
            if control["start"]:
                self._start()
            if control["abort"]:
                self._abort()

    def get(self, name: str) -> int:
        """Return a register's word."""
        return self.words[self.map[name].offset] if name in self.map else 0

    def put(self, name: str, value: int, index: int = 0) -> None:
        """Set a register's word."""
        self.words[self.map[name].offsets[index]] = value % (1 << 32)

    def _start(self) -> None:
        m, k, tokens = (self.get(name) for name in ("JOB_M", "JOB_K", "JOB_TOKENS"))
        weights = self.get("WEIGHTS_LO")
        causes = []
        try:
            self.config.check_job(m, k, tokens)
            if weights + image_bytes(self.config, m, k) > self.config.weight_store_bytes:
                causes.append(ADDRESS_RANGE)
        except InputError:
            causes.append(ILLEGAL_JOB)
        if weights % (self.config.weight_port_bits // 8):
            causes.append(MISALIGNED)
        if causes or self._left:
            self._raise_errors(causes)
            return
        self.started.append((m, k, tokens))
        self._job = m, k, tokens, weights, self.get("RESULTS_LO")
        self._number = self.get("STARTED")
        self.put("STARTED", self._number + 1)
        self.put("JOB_STATUS", 0, self._number % 16)
        self.put("STATUS", self.map["STATUS"].encode(busy=1))
        self._left = self.patience

    def _end(self) -> None:
        m, k, tokens, weights, results = self._job
        image = bytes(self.stores[WEIGHTS_BASE][weights : weights + image_bytes(self.config, m, k)])
        beat = self.config.acts_per_beat
        row = -(-k // beat) * beat
        acts = np.frombuffer(bytes(self.stores[ACTIVATIONS_BASE][: tokens * row]), dtype=np.int8)
        causes: list[int] = []
        words = np.full((tokens, m), 0x5A5A5A5A, dtype=np.int32)
        try:
            words = ternary_matmul(acts.reshape(tokens, row)[:, :k], unpack_image(self.config, image, m, k))
        except InputError:
            causes.append(ILLEGAL_TRIT)
        data = order_results(self.config, words).tobytes()
        self.stores[RESULTS_BASE][results : results + len(data)] = data
        self._complete(causes)
        self.put("CYCLES", self.get("CYCLES") + CYCLES)

    def _complete(self, causes: Iterable[int]) -> None:
        bits = sum(1 << cause for cause in causes)
        self._raise_errors(causes)
        self.put("JOB_STATUS", bits | 1 << DONE, self._number % 16)
        self.put("COMPLETED", self.get("COMPLETED") + 1)
        self.put("FAILED", self.get("FAILED") + (bits != 0))
        self.put("STATUS", 0)

    def _abort(self) -> None:
        if self._left:
            self._left = 0
            self._complete([ABORTED])

    def _raise_errors(self, causes: Iterable[int]) -> None:
        for cause in causes:
            self.put("ERRORS", self.get("ERRORS") | 1 << cause)
