"""Checks a board against the golden model: seeded products that reach its bounds, or those of a model's layers."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import BoardError
from tritforge.models.image import image_bytes
from tritforge.sim.board_accelerator import BoardAccelerator
from tritforge.sim.comparison import Mismatch
from tritforge.sim.cosim import CosimTask, Source
from tritforge.sim.device import JobAddresses
from tritforge.sim.golden import ternary_matmul
from tritforge.sim.operands import Operands, seeded_weights


@dataclass(frozen=True, kw_only=True)
class CheckedProduct:
    """One product on the board beside the golden model's.

    Attributes
    ----------
    name
        Of the product.
    m, k, tokens
        Its shape.
    jobs
        Jobs that it took.
    words, mismatches
        Words compared, and those that differ.
    first
        The first that differs, or None.
    cycles
        That the board counted.
    seconds
        On this machine, the way over the link included.
    """

    name: str
    m: int
    k: int
    tokens: int
    jobs: int
    words: int
    mismatches: int
    first: Mismatch | None
    cycles: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BoardCheck:
    """What a check found.

    Attributes
    ----------
    products
        In the order in which they ran.
    refusal
        What the board said of a job without rows; None when it took it.
    """

    products: tuple[CheckedProduct, ...]
    refusal: str | None

    @property
    def ok(self) -> bool:
        """Whether every word is right, and the illegal job was refused."""
        return self.refusal is not None and all(product.mismatches == 0 for product in self.products)

    def to_dict(self) -> dict[str, Any]:
        """Return it, fit for JSON."""
        return {
            "products": [asdict(product) for product in self.products],
            "refusal": self.refusal,
            "ok": self.ok,
        }


def seeded_products(board: BoardAccelerator, seed: int, *, fill: bool = True) -> list[Operands]:
    """Return products that reach a board's bounds: extremes of the values, ragged tiles, pieces along K.

    Parameters
    ----------
    board
        The board.
    seed
        Of the operands.
    fill
        Whether a product of the largest matrix that the weight store holds is among them.
    """
    config = board.config
    ragged = min(2 * config.rows + 1, config.m_max), min(config.lanes + 3, config.k_max)
    shapes = {
        "one weight": (1, 1, 1),
        "all -1 x -128": (config.rows + 1, min(2 * config.lanes, config.k_max), config.tokens_max),
        "ragged tiles": (*ragged, config.tokens_max + 1),
        "longest rows": (config.rows, config.k_max, 1),
        "beyond k_max": (config.rows, config.k_max + 1, 1),
    }
    if fill:
        shapes["whole weight store"] = (*_filling(config), 1)
    lowest = -(1 << (config.act_bits - 1))
    found = []
    for index, (name, (m, k, tokens)) in enumerate(shapes.items()):
        random = np.random.default_rng((seed, index))
        weights = seeded_weights(m, k, random)
        activations = random.integers(lowest, -lowest, (tokens, k)).astype(np.int8)
        if index == 1:
            weights, activations = np.full_like(weights, -1), np.full_like(activations, lowest)
        found.append(
            Operands(
                name=name,
                m=m,
                k=k,
                weights=lambda weights=weights: weights,  # type: ignore[misc]
                activations=activations,
            )
        )
    return found


def layer_products(task: CosimTask, config: AcceleratorConfig) -> list[Operands]:
    """Return the products of a model's layers, as of `tritforge.sim.cosim`, whatever their shape.

    Raises
    ------
    InputError
        No such model, layer or number of tokens.
    """
    source = Source.open(task)
    source.check(task, replace(config, partial_sums=True, m_max=AcceleratorConfig().m_max))
    return source.operands(task)


def check_board(
    board: BoardAccelerator,
    products: Sequence[Operands],
    *,
    on_product: Callable[[CheckedProduct], None] | None = None,
) -> BoardCheck:
    """Run products on a board and compare every word with the golden model's.

    Before them it gets a job that it must refuse.

    Parameters
    ----------
    board
        The board.
    products
        What runs, one after the other.
    on_product
        Called after each of them.

    Raises
    ------
    BoardError
        It does not answer, or a job fails.
    """
    done = []
    refusal = _refusal(board)
    for each in products:
        done.append(_check(board, each))
        if on_product is not None:
            on_product(done[-1])
    return BoardCheck(products=tuple(done), refusal=refusal)


def _filling(config: AcceleratorConfig) -> tuple[int, int]:
    """Return M and K of a matrix that takes nearly all of the weight store, in one piece."""
    k = config.k_max
    while k > config.lanes and image_bytes(config, config.rows, k) * 4 > config.weight_store_bytes:
        k //= 2
    row_tiles = config.weight_store_bytes // image_bytes(config, config.rows, k)
    return min(row_tiles * config.rows, config.m_max), k


def _refusal(board: BoardAccelerator) -> str | None:
    """Start a job without rows; return why it was refused."""
    try:
        board.device.start(JobAddresses(m=0, k=1, tokens=1))
    except BoardError as error:
        return str(error)
    return None


def _check(board: BoardAccelerator, each: Operands) -> CheckedProduct:
    weights = each.weights()
    expected = ternary_matmul(each.activations, weights)
    before, start = board.usage, perf_counter()
    product = board.matmul(weights, each.activations)
    seconds = perf_counter() - start
    wrong = np.argwhere(product.words != expected)
    first = None
    if len(wrong):
        token, row = (int(index) for index in wrong[0])
        first = Mismatch(
            name=each.name,
            token=token,
            row=row,
            expected=int(expected[token, row]),
            got=int(product.words[token, row]),
        )
    return CheckedProduct(
        name=each.name,
        m=each.m,
        k=each.k,
        tokens=each.tokens,
        jobs=(board.usage - before).jobs,
        words=product.words.size,
        mismatches=len(wrong),
        first=first,
        cycles=product.cycles or 0,
        seconds=seconds,
    )
