"""The `board` back end, against an accelerator in Python behind a line with faults."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
from fake_accelerator import CYCLES, FakeAccelerator
from fake_link import FAULTS, FakeLink, Fault, FaultyLine
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.errors import BoardError, InputError
from tritforge.accel.link_top import link_control
from tritforge.accel.presets import PRESETS
from tritforge.models.image import image_bytes
from tritforge.sim.accelerator import Usage
from tritforge.sim.board_accelerator import BoardAccelerator, open_board

#: A store of three small matrices, so that pieces are few and go often.
SMALL = AcceleratorConfig.from_dict(
    {"weight_store": "bram", "weight_store_bytes": 1 << 10, "k_max": 32, "m_max": 64}, base=PRESETS["tiny"]
)
ACTIVATIONS = link_control(SMALL).activation_store_bytes
faults = st.builds(Fault, st.booleans(), st.integers(0, 3000), st.sampled_from([*sorted(FAULTS), "reset"]))


def operands(
    seed: int, m: int, k: int, tokens: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    w = random.integers(-1, 2, (m, k)).astype(np.int8)
    x = random.integers(-128, 128, (tokens, k)).astype(np.int8)
    return w, x, x.astype(np.int64) @ w.T.astype(np.int64)


def connect(
    config: AcceleratorConfig = SMALL, faults: Iterable[Fault] = ()
) -> tuple[BoardAccelerator, FakeAccelerator, FaultyLine]:
    accelerator = FakeAccelerator(config)
    line = FaultyLine(FakeLink(accelerator), faults)
    return BoardAccelerator(line), accelerator, line


shapes = st.tuples(st.integers(1, 70), st.integers(1, 90), st.integers(1, 9))


@given(st.lists(st.tuples(st.integers(0, 3), shapes), min_size=1, max_size=6))
def test_products_of_any_shape_are_exact_and_counted(asked: list[tuple[int, tuple[int, int, int]]]) -> None:
    board, accelerator, _ = connect()
    loaded = {}
    for which, (m, k, tokens) in asked:
        if which not in loaded:
            w, _, _ = operands(which, m, k, 1)
            loaded[which] = w, board.load(w)
        w, matrix = loaded[which]
        x = operands(tokens, 1, w.shape[1], tokens)[1]
        before, started = board.usage, len(accelerator.started)
        product = board.matmul(matrix, x)
        np.testing.assert_array_equal(product.words, x.astype(int) @ w.T.astype(int))
        jobs = len(accelerator.started) - started
        assert board.usage - before == Usage(
            products=1, jobs=jobs, operations=w.size * tokens, words=len(w) * tokens, cycles=jobs * CYCLES
        )
        assert product.words.dtype == np.int32


@given(st.lists(faults, max_size=6), st.lists(shapes, min_size=1, max_size=3), st.integers(0, 99))
def test_whatever_happens_on_the_line_words_are_right_or_there_is_an_error(
    broken: list[Fault], asked: list[tuple[int, int, int]], seed: int
) -> None:
    """And no job is started twice, and the products after it are right again."""
    accelerator = FakeAccelerator(SMALL)
    line = FaultyLine(FakeLink(accelerator), broken)
    try:
        board = BoardAccelerator(line)
    except BoardError:
        return
    loaded = [(x, y, board.load(w)) for w, x, y in (operands(seed, *shape) for shape in asked)]
    errors = 0
    for x, expected, matrix in loaded * 2:
        before, started = board.usage, len(accelerator.started)
        try:
            product = board.matmul(matrix, x)
        except BoardError:
            errors += 1
            continue
        np.testing.assert_array_equal(product.words, expected)
        assert len(accelerator.started) - started == (board.usage - before).jobs
    # A reset is one error at most; nothing else of this kind is more than the attempts overcome.
    assert errors <= sum(fault.kind == "reset" for fault in broken) + (len(broken) > 3)


@pytest.mark.parametrize("at", range(0, 1800, 23))
def test_a_reset_at_any_byte_never_gives_a_wrong_word(at: int) -> None:
    w, x, expected = operands(1, 12, 32, 2)
    board, _, line = connect()
    matrix = board.load(w)
    board.matmul(matrix, x)
    line.break_later(Fault(False, line.passed[0] + at, "reset"))
    outcomes = []
    for _ in range(20):
        try:
            np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)
            outcomes.append("right")
        except BoardError as error:
            outcomes.append("reset" if " was reset: its weights are lost" in str(error) else str(error))
    assert {each for each in outcomes if each not in {"right", "reset"}} == set()
    assert outcomes.count("reset") == 1
    assert outcomes.count("right") == 19


def test_a_matrix_is_sent_once_and_stays() -> None:
    sent: list[int] = []
    board, _, line = connect()
    sets = [operands(seed, 4 + seed, 16, 1) for seed in range(3)]
    loaded = [board.load(w) for w, _, _ in sets]
    for _ in range(3):
        before = line.passed[0]
        for (_, x, expected), matrix in zip(sets, loaded, strict=True):
            np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)
        sent.append(line.passed[0] - before)
    images = sum(image_bytes(SMALL, *w.shape) for w, _, _ in sets)
    assert images < sent[0] - sent[1] < 1.5 * images
    assert sent[1] == sent[2]


def test_the_least_recently_used_matrix_makes_room() -> None:
    told: list[str] = []
    board, _, _ = connect()
    board.on_progress = lambda what, done, total: told.append(what) if done == total else None
    sets = {name: operands(ord(name), 36, 24, 1) for name in "abcd"}
    loaded = {name: board.load(w) for name, (w, _, _) in sets.items()}
    sent = ""
    for name in "abcabdabc":
        told.clear()
        np.testing.assert_array_equal(board.matmul(loaded[name], sets[name][1]).words, sets[name][2])
        sent += name if "sending weights" in told else "."
    assert image_bytes(SMALL, 36, 24) * 3 <= SMALL.weight_store_bytes < image_bytes(SMALL, 36, 24) * 4
    assert sent == "abc..d..c"


def test_activations_are_sent_once_for_the_pieces_of_a_slice() -> None:
    told: list[tuple[str, int]] = []
    board, accelerator, _ = connect()
    w, x, expected = operands(0, 150, 30, 3)
    board.on_progress = lambda what, done, total: told.append((what, done)) if done == total else None
    np.testing.assert_array_equal(board.matmul(w, x).words, expected)
    assert len(accelerator.started) >= 3
    assert [what for what, _ in told].count("sending activations") == 1
    told.clear()
    np.testing.assert_array_equal(board.matmul(w, x).words, expected)
    assert [what for what, _ in told].count("sending activations") == 0


def test_extremes_are_exact_over_slices_of_k() -> None:
    board, _, _ = connect()
    w = np.full((5, 300), -1, dtype=np.int8)
    x = np.full((2, 300), -128, dtype=np.int8)
    assert (board.matmul(w, x).words == 300 * 128).all()


def test_sums_that_could_overflow_their_words_are_refused() -> None:
    board, accelerator, _ = connect()
    with pytest.raises(InputError) as caught:
        board.load(np.broadcast_to(np.int8(1), (1, 1 << 24)))
    assert str(caught.value) == "K is 16777216; sums over more than 16777215 inputs do not fit 32 bits"
    assert accelerator.started == []


def test_a_matrix_that_is_given_back_leaves_its_room() -> None:
    board, _, _ = connect()
    for seed in range(30):
        w, x, expected = operands(seed, 32, 32, 1)
        np.testing.assert_array_equal(board.matmul(w, x).words, expected)
    assert board._images == {}
    assert len(board._weights._places) == 0
    board.close()
    with pytest.raises(InputError, match=r"^the board accelerator is closed; open another one$"):
        board.load(w)


def test_after_an_error_the_next_product_loads_its_weights_again() -> None:
    board, accelerator, _ = connect()
    w, x, expected = operands(1, 9, 20, 2)
    matrix = board.load(w)
    accelerator.hangs = True
    with pytest.raises(BoardError, match=r" did not end within 0 cycles"):
        board.matmul(matrix, x)
    accelerator.hangs = False
    before = board.usage
    np.testing.assert_array_equal(board.matmul(matrix, x).words, expected)
    assert (board.usage - before).products == board.usage.products == 1
    assert accelerator.get("FAILED") == 1


def test_another_configuration_than_expected_is_refused() -> None:
    line = FaultyLine(FakeLink(FakeAccelerator(SMALL)))
    with pytest.raises(InputError, match=r"^the board on fake has k_max 32 \(expected 64\); give the"):
        BoardAccelerator(line, AcceleratorConfig.from_dict({"k_max": 64}, base=SMALL))
    assert BoardAccelerator(line, SMALL).config == SMALL


def test_an_accelerator_without_stores_is_refused() -> None:
    line = FaultyLine(FakeLink(FakeAccelerator(PRESETS["tiny"], ControlConfig())))
    with pytest.raises(
        BoardError, match=r"^the board on fake has no stores of its own; it cannot be run over a"
    ):
        BoardAccelerator(line)


def test_a_simulated_board_needs_a_configuration() -> None:
    with pytest.raises(InputError) as caught:
        open_board("simulation")
    assert (
        str(caught.value) == "a simulated board needs a configuration; give one, such as --config icebreaker"
    )


class Rates:
    """Ports at which a board answers at one rate alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, right: int) -> None:
        self.tried: list[int] = []
        self.closed = 0
        self._right = right
        monkeypatch.setattr("tritforge.sim.board_accelerator.SerialStream", self.open)

    def open(self, port: str, *, baud: int) -> FaultyLine:
        self.tried.append(baud)
        board = FakeLink(FakeAccelerator(SMALL))
        line = FaultyLine(board)
        if baud != self._right:
            board.take = lambda byte: bytes([byte & 0x55])  # type: ignore[method-assign]
        line.close = self.count  # type: ignore[method-assign]
        return line

    def count(self) -> None:
        self.closed += 1


def test_the_rate_of_a_board_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Rates(monkeypatch, 1_000_000)
    with open_board("port") as board:
        assert board.config == SMALL
    assert (ports.tried, ports.closed) == ([3_000_000, 1_000_000], 2)


def test_a_rate_that_is_given_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Rates(monkeypatch, 1_000_000)
    with pytest.raises(
        BoardError, match=r"^no answer on fake when asked 6 times to greet; \d+ bytes came that"
    ):
        open_board("port", baud=9600)
    assert (ports.tried, ports.closed) == ([9600], 1)


def test_no_board_at_any_rate_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Rates(monkeypatch, 0)
    with pytest.raises(BoardError) as caught:
        open_board("port")
    assert str(caught.value) == (
        "no board answers on port at 3000000 or 1000000 baud; load its bitstream (tritforge fpga --board NAME makes "
        "one), or give another rate with --baud"
    )
    assert ports.closed == 2
