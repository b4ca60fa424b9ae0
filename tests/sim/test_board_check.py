"""The check of a board, on one in Python that is right and on others that are not."""

from dataclasses import replace

import numpy as np
import pytest
from fake_accelerator import FakeAccelerator
from fake_link import FakeLink, FaultyLine

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.library import load_model
from tritforge.sim.board_accelerator import BoardAccelerator
from tritforge.sim.board_check import BoardCheck, CheckedProduct, check_board, layer_products, seeded_products
from tritforge.sim.comparison import Mismatch
from tritforge.sim.cosim import CosimTask
from tritforge.sim.device import RESULTS_BASE
from tritforge.sim.operands import Operands

SMALL = AcceleratorConfig.from_dict(
    {"weight_store": "bram", "weight_store_bytes": 1 << 12, "k_max": 128}, base=PRESETS["tiny"]
)


def connect(accelerator: FakeAccelerator) -> BoardAccelerator:
    return BoardAccelerator(FaultyLine(FakeLink(accelerator)))


@pytest.mark.parametrize("config", [SMALL, PRESETS["icebreaker"]], ids=["small", "icebreaker"])
def test_the_seeded_products_reach_the_bounds(config: AcceleratorConfig) -> None:
    board = connect(FakeAccelerator(config))
    products = seeded_products(board, 5)
    check = check_board(board, products)
    assert check.ok
    by_name = {each.name: each for each in check.products}
    assert by_name["beyond k_max"].jobs == 2
    assert by_name["longest rows"].k == config.k_max
    assert by_name["ragged tiles"].jobs == 2
    assert by_name["ragged tiles"].k % config.lanes
    assert by_name["all -1 x -128"].words == (config.rows + 1) * config.tokens_max
    (extreme,) = (each for each in products if each.name == "all -1 x -128")
    assert (extreme.weights() == -1).all()
    assert (extreme.activations == -128).all()
    (start, length) = next(iter(board._weights._places.values()), (0, 0))
    assert by_name["whole weight store"].jobs == 1
    assert (start, length) == (0, 0)
    filling = next(each for each in products if each.name == "whole weight store")
    largest = max(len(image) for image in loaded(board, filling))
    assert largest > 0.95 * config.weight_store_bytes


def loaded(board: BoardAccelerator, each: Operands) -> list[bytes]:
    """Images that a product's matrix takes."""
    board.load(each.weights())
    return list(board._images.values())


def test_the_same_seed_gives_the_same_operands() -> None:
    board = connect(FakeAccelerator(SMALL))
    first, again, other = (seeded_products(board, seed, fill=False) for seed in (1, 1, 2))
    for a, b, c in zip(first[2:], again[2:], other[2:], strict=True):
        np.testing.assert_array_equal(a.activations, b.activations)
        np.testing.assert_array_equal(a.weights(), b.weights())
        assert (a.activations != c.activations).any()
        assert (a.weights() != c.weights()).any()
    assert len(first) == len(seeded_products(board, 1)) - 1


class WrongWord(FakeAccelerator):
    """Of jobs of more than one row, a word is wrong by one."""

    def _end(self) -> None:
        super()._end()
        m, _, _, _, results = self._job
        if m > 1:
            self.stores[RESULTS_BASE][results + 4] ^= 1


def test_a_wrong_word_shows_with_its_place() -> None:
    check = check_board(connect(WrongWord(SMALL)), seeded_products(connect(FakeAccelerator(SMALL)), 0))
    assert not check.ok
    assert [product.mismatches for product in check.products][:2] == [0, 1]
    first = check.products[1].first
    assert first is not None
    assert (first.name, first.token, first.row, first.expected) == ("all -1 x -128", 0, 1, 16 * 128)
    assert first.got == first.expected ^ 1


def test_a_board_that_takes_any_job_is_not_right() -> None:
    class Careless(FakeAccelerator):
        def _start(self) -> None:
            if self.get("JOB_M"):
                super()._start()
            else:
                self.put("STARTED", self.get("STARTED") + 1)

    check = check_board(connect(Careless(SMALL)), [])
    assert check.refusal is None
    assert not check.ok


def test_products_are_told_as_they_are_done() -> None:
    board = connect(FakeAccelerator(SMALL))
    told: list[CheckedProduct] = []
    check = check_board(board, seeded_products(board, 0, fill=False), on_product=told.append)
    assert tuple(told) == check.products
    assert [each["name"] for each in check.to_dict()["products"]] == [each.name for each in told]


def test_a_layer_of_the_shipped_model_is_exact_in_pieces() -> None:
    """Whose matrices are beyond the bounds of this configuration, along M, along K and of the store."""
    board = connect(FakeAccelerator(replace(SMALL, m_max=100)))
    products = layer_products(CosimTask(model="austen", layers=(1,), tokens=2, seed=3), board.config)
    assert [(each.m, each.k) for each in products] == list(load_model("austen").config.matrices.values())
    check = check_board(board, products)
    assert check.ok
    assert all(product.jobs >= 6 for product in check.products if product.m > 128)
    assert board.usage.operations == sum(2 * each.m * each.k for each in products)


def test_a_layer_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"^layer is 9; austen has layers 0 to 2$"):
        layer_products(CosimTask(model="austen", layers=(9,), tokens=2, seed=3), SMALL)


def test_a_check_is_right_only_with_all_words() -> None:
    product = CheckedProduct(
        name="x", m=1, k=1, tokens=1, jobs=1, words=1, mismatches=0, first=None, cycles=1, seconds=0.0
    )
    wrong = replace(product, mismatches=1, first=Mismatch(name="x", token=0, row=0, expected=1, got=2))
    assert BoardCheck(products=(product,), refusal="no").ok
    assert not BoardCheck(products=(product, wrong), refusal="no").ok
    assert not BoardCheck(products=(product,), refusal=None).ok
