"""The host's code drives the link top's Verilog at its UART's pins, whose bits cocotbext-uart makes and reads."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import BoardError, SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.cli.main import main
from tritforge.models.library import held_out_text, load_model
from tritforge.sim.board_accelerator import BoardAccelerator
from tritforge.sim.board_check import check_board, layer_products, seeded_products
from tritforge.sim.byte_stream import ByteStream
from tritforge.sim.cosim import CosimTask
from tritforge.sim.device import RESULTS_BASE, WEIGHTS_BASE, JobAddresses
from tritforge.sim.link_protocol import Link, encode_request
from tritforge.sim.operands import Operands
from tritforge.sim.uart_simulation import CompiledLink, SimulatedUart, compile_link

#: A weight store that the shipped model's matrices exceed, and a bound on K that they do.
SMALL = AcceleratorConfig.from_dict(
    {"weight_store": "bram", "weight_store_bytes": 1 << 12, "k_max": 192, "m_max": 128, "packing": "s8"},
    base=PRESETS["tiny"],
)


@pytest.fixture(scope="module")
def compiled(simulators: Path) -> CompiledLink:
    return compile_link(SMALL, simulators)


@pytest.fixture(scope="module")
def uart(compiled: CompiledLink) -> Iterator[SimulatedUart]:
    """One simulated board for all tests: what one of them does to it must not harm the next."""
    with SimulatedUart(compiled) as stream:
        yield stream


class BadLine(ByteStream):
    """A line on which what is written or read at numbered times goes wrong."""

    def __init__(self, uart: SimulatedUart) -> None:
        self.name = "a bad line"
        self.character_seconds, self.latency_seconds = uart.character_seconds, uart.latency_seconds
        self._uart = uart
        #: What comes before the next frame, and how many of its bytes are left out at its end.
        self.garbage = b""
        self.cut = 0
        #: Frames to come before the one whose answer is lost; negative when none is.
        self.lose_after = -1
        self._losing = False
        self.break_before = False
        self.reset_before = False
        #: Source of faults at single bytes, of which one in `rarely` has one.
        self.faults: np.random.Generator | None = None
        self.rarely = 500

    def write(self, data: bytes) -> None:
        if self.break_before:
            self._uart.hold(1.5)
        if self.reset_before:
            self._uart.reset()
        self._losing = self.lose_after == 0
        self.lose_after -= 1
        self._uart.write(self._spoil(self.garbage + data[: len(data) - self.cut]))
        self.garbage, self.cut, self.break_before, self.reset_before = b"", 0, False, False

    def read(self, count: int, seconds: float) -> bytes:
        data = self._uart.read(count, seconds)
        return b"" if self._losing else self._spoil(data)

    def _spoil(self, data: bytes) -> bytes:
        """Lose, garble or repeat some bytes."""
        if self.faults is None:
            return data
        changed = bytearray()
        for byte, chance in zip(data, self.faults.integers(0, 3 * self.rarely, len(data)), strict=True):
            changed += {0: b"", 1: bytes([byte ^ 4]), 2: bytes([byte, byte])}.get(int(chance), bytes([byte]))
        return bytes(changed)

    def close(self) -> None:
        """The simulated board goes on."""


def operands(
    seed: int, m: int, k: int, tokens: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    w = random.integers(-1, 2, (m, k)).astype(np.int8)
    x = random.integers(-128, 128, (tokens, k)).astype(np.int8)
    return w, x, x.astype(np.int64) @ w.T.astype(np.int64)


def test_the_seeded_products_of_a_board_are_exact(uart: SimulatedUart) -> None:
    print("seed 3")
    board = BoardAccelerator(BadLine(uart), SMALL)
    check = check_board(board, seeded_products(board, 3, fill=False))
    assert [product.mismatches for product in check.products] == [0] * 5
    assert [product.jobs for product in check.products] == [1, 1, 2, 1, 2]
    assert check.refusal is not None
    assert "M, K or T is zero or over its bound" in check.refusal
    assert board.link.counts.retries == 0
    assert all(product.cycles > 0 for product in check.products)


def test_a_job_takes_the_cycles_that_its_stores_allow(uart: SimulatedUart) -> None:
    """And none of the time on the line: the counter runs while the accelerator is busy."""
    board = BoardAccelerator(BadLine(uart))
    w, x, expected = operands(0, 64, 64, 4)
    first, second = board.matmul(w, x), board.matmul(w, x)
    np.testing.assert_array_equal(first.words, expected)
    assert first.cycles == second.cycles
    tiles = 16 * 8 * 4
    assert first.cycles is not None
    assert tiles < first.cycles < 3 * tiles


@pytest.mark.parametrize("seed", [1, 2])
def test_lost_garbled_and_repeated_bytes_are_overcome(uart: SimulatedUart, seed: int) -> None:
    print(f"seed {seed}")
    line = BadLine(uart)
    board = BoardAccelerator(line)
    before = board.device.counters()
    line.faults = np.random.default_rng(seed)
    for product in range(8):
        w, x, expected = operands(product, 20 + product, 64, 3)
        np.testing.assert_array_equal(board.matmul(w, x).words, expected)
    line.faults = None
    counted = board.device.counters() - before
    assert (counted.started, counted.completed, counted.failed) == (8, 8, 0)
    assert board.link.counts.retries > 5


@pytest.mark.parametrize("garbage", [b"\x00" * 9, b"TF", b"TTTF\x02", bytes(range(256)), b"tf\xff" * 5])
def test_garbage_before_a_frame_is_overcome(uart: SimulatedUart, garbage: bytes) -> None:
    line = BadLine(uart)
    link = Link(line)
    for _ in range(2):
        line.garbage = garbage
        assert link.read(0, 4) == b"GRFT"
    assert link.counts.retries <= 2


def test_a_frame_that_ends_in_its_middle_is_thrown_away_in_time(uart: SimulatedUart) -> None:
    line = BadLine(uart)
    link = Link(line)
    for cut in (1, 5, 11):
        line.cut = cut
        before = uart.nanoseconds
        assert link.read(0, 4) == b"GRFT"
        # The time-out of the board, and not much more.
        waited = (uart.nanoseconds - before) * 1e-9 / uart.character_seconds
        assert 1024 < waited < 2 * 1024
    assert link.counts.retries == 3


def test_a_break_on_the_line_ends_a_frame_at_once(uart: SimulatedUart) -> None:
    line = BadLine(uart)
    link = Link(line)
    uart.write(encode_request(2, 0, WEIGHTS_BASE, 2, bytes(8))[:12])
    line.break_before = True
    assert link.read(0, 4) == b"GRFT"
    assert link.counts.retries == 0


def test_a_lost_answer_does_not_start_a_job_twice(uart: SimulatedUart) -> None:
    line = BadLine(uart)
    board = BoardAccelerator(line)
    w, x, expected = operands(1, 20, 64, 3)
    matrix = board.load(w)
    np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)
    before = board.device.counters()
    for frame in range(6):
        line.lose_after, retries = frame, board.link.counts.retries
        np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)
        assert board.link.counts.retries - retries == 1
    counted = board.device.counters() - before
    assert (counted.started, counted.completed, counted.failed) == (6, 6, 0)


def test_a_reset_is_told_and_overcome(uart: SimulatedUart) -> None:
    line = BadLine(uart)
    board = BoardAccelerator(line)
    w, x, expected = operands(2, 20, 64, 3)
    matrix = board.load(w)
    np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)
    line.reset_before = True
    with pytest.raises(BoardError) as caught:
        board.matmul(matrix, x)
    assert str(caught.value) == (
        "the board on a bad line was reset: its weights are lost; the next product loads them again"
    )
    np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)


def test_illegal_weights_fail_their_job_alone(uart: SimulatedUart) -> None:
    board = BoardAccelerator(BadLine(uart))
    w, x, expected = operands(3, 9, 16, 2)
    matrix = board.load(w)
    np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)
    # Where a new board puts its first matrix.
    board.link.write(WEIGHTS_BASE, b"\xaa" * 64)
    with pytest.raises(BoardError) as caught:
        board.matmul(matrix, x)
    assert "failed: a weight word was none of the packing's; the results are not to be used" in str(
        caught.value
    )
    np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)


def test_what_the_board_refuses_harms_nothing(uart: SimulatedUart) -> None:
    board = BoardAccelerator(BadLine(uart))
    device, link = board.device, board.link
    for address, what in ((SMALL.weight_store_bytes, "write"), (0x4000_0000, "write"), (2, "write")):
        place = address if address >= 0x4000_0000 or address == 2 else WEIGHTS_BASE + address
        with pytest.raises(
            BoardError, match=rf"^the board refused to {what} 1 words at 0x{place:08x}: address or"
        ):
            link.write(place, bytes(4))
    with pytest.raises(BoardError, match="address or length is out of its bounds"):
        link.read(WEIGHTS_BASE, 4)
    with pytest.raises(BoardError, match="address or length is out of its bounds"):
        link.write(RESULTS_BASE, bytes(4))
    with pytest.raises(BoardError, match="a word of these is no register of it"):
        link.read(0xFFC, 4)
    for job, why in (
        (JobAddresses(m=1, k=SMALL.k_max + 1, tokens=1), "M, K or T is zero or over its bound"),
        (JobAddresses(m=1, k=1, tokens=1, weights=2), "an address is no multiple"),
        (JobAddresses(m=1, k=1, tokens=1, flags=1), "an unknown flag is set"),
    ):
        with pytest.raises(BoardError, match=why):
            device.start(job)
    w, x, expected = operands(4, 9, 16, 2)
    np.testing.assert_array_equal(board.matmul(w, x).words, expected)


def test_an_abort_brings_it_to_rest(uart: SimulatedUart) -> None:
    board = BoardAccelerator(BadLine(uart))
    w, x, expected = operands(5, 100, 150, 4)
    board.matmul(w, x)
    board.device.start(JobAddresses(m=100, k=150, tokens=4))
    board.device.abort()
    assert board.device.fields("STATUS")["in_flight"] == 0
    board.device.prepare()
    np.testing.assert_array_equal(board.matmul(w, x).words, expected)


def layer(config: AcceleratorConfig, tokens: int) -> list[Operands]:
    assert held_out_text("austen")
    return layer_products(CosimTask(model="austen", layers=(0,), tokens=tokens, seed=0), config)


def test_a_matrix_of_the_shipped_model_runs_in_pieces(uart: SimulatedUart) -> None:
    """Those along K, 256 over 192, are added on the host; those along M replace each other in the store."""
    board = BoardAccelerator(BadLine(uart), SMALL)
    (matrix,) = (each for each in layer(SMALL, 2) if each.name.endswith("self_attn.k_proj"))
    check = check_board(board, [matrix])
    (product,) = check.products
    assert (product.m, product.k, product.mismatches, product.words) == (128, 256, 0, 256)
    assert product.jobs == 4
    assert check.ok


def test_the_command_line_simulates_a_board(simulators: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same Verilog as above, so it is compiled once."""
    changed = {
        "weight_store": "bram",
        "weight_store_bytes": 1 << 12,
        "k_max": 192,
        "m_max": 128,
        "packing": "s8",
    }
    settings = [f"--set={name}={value}" for name, value in changed.items()]
    with pytest.raises(SystemExit) as leave:
        main(
            [
                "board",
                "--port",
                "simulation",
                "--quick",
                "--config",
                "tiny",
                *settings,
                "--cache",
                str(simulators),
            ]
        )
    assert leave.value.code == 0
    shown = capsys.readouterr().out
    assert "simulation: TritForge accelerator, register map " in shown
    assert "words bit for bit; " in shown


def test_a_simulator_that_is_killed_is_one_error(compiled: CompiledLink) -> None:
    stream = SimulatedUart(compiled)
    files = stream._simulation.files
    stream._simulation.stop()
    with pytest.raises(SimulationError, match=r"^the simulation failed; the end of its log:\n"):
        Link(stream)
    assert not files.exists()
    stream.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "icebreaker", "ulx3s"])
def test_a_layer_of_the_shipped_model_runs_bit_exact(name: str, simulators: Path) -> None:
    config = SMALL if name == "small" else PRESETS[name]
    with BoardAccelerator(SimulatedUart(compile_link(config, simulators)), config) as board:
        products = layer(config, 4)
        assert [(each.m, each.k) for each in products] == list(load_model("austen").config.matrices.values())
        check = check_board(board, products)
        print(board.link.counts)
    assert check.ok
    assert sum(product.words for product in check.products) == 4 * 2048
    assert board.link.counts.retries == 0
