"""The accelerator's back ends that need no simulator, and what all of them refuse."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.models.checkpoint import Checkpoint
from tritforge.sim.accelerator import (
    BACK_ENDS,
    Accelerator,
    AcceleratorProduct,
    LoadedMatrix,
    Usage,
    open_accelerator,
)
from tritforge.sim.cycles import product_cycles
from tritforge.sim.decoder import Decoder

TINY = PRESETS["tiny"]
SLICED = AcceleratorConfig.from_dict({"partial_sums": True, "k_max": 24}, base=TINY)


def operands(
    seed: int, m: int, k: int, tokens: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Random weights and activations, extremes among them, and their product in int64."""
    random = np.random.default_rng(seed)
    w = random.integers(-1, 2, (m, k)).astype(np.int8)
    x = random.choice(np.array([-128, 127, 0, *range(-5, 6)]), (tokens, k)).astype(np.int8)
    return w, x, x.astype(np.int64) @ w.T.astype(np.int64)


# A board takes matrices of any size: tests/sim/test_board_accelerator.py.
@pytest.fixture(params=[name for name in BACK_ENDS if name != "board"], scope="module")
def accelerator(request: pytest.FixtureRequest, simulators: Path) -> Iterator[Accelerator]:
    """Each back end, open on the small configuration."""
    with open_accelerator(request.param, TINY, cache=simulators) as opened:
        yield opened


@given(
    seed=st.integers(0, 1 << 32),
    m=st.integers(1, 40),
    k=st.integers(1, 80),
    tokens=st.integers(1, 9),
    config=st.sampled_from([TINY, SLICED]),
)
def test_golden_and_cycle_give_the_product_and_the_cycles_of_the_model(
    seed: int, m: int, k: int, tokens: int, config: AcceleratorConfig
) -> None:
    if k > config.k_max and not config.partial_sums:
        k = config.k_max
    w, x, expected = operands(seed, m, k, tokens)
    with open_accelerator("golden", config) as golden, open_accelerator("cycle", config) as cycle:
        plain, counted = golden.matmul(w, x), cycle.matmul(w, x)
    np.testing.assert_array_equal(plain.words, expected)
    np.testing.assert_array_equal(counted.words, expected)
    assert plain.words.dtype == counted.words.dtype == np.int32
    assert plain.cycles is None
    assert counted.cycles == sum(batch.total for batch in product_cycles(config, m, k, tokens))


@pytest.mark.parametrize(("m", "k", "tokens"), [(1, 1, 1), (9, 20, 3), (40, 64, 4), (5, 33, 11)])
def test_every_back_end_gives_the_same_words_and_cycles(
    accelerator: Accelerator, m: int, k: int, tokens: int
) -> None:
    w, x, expected = operands(m, m, k, tokens)
    before = accelerator.usage
    for weights in (w, accelerator.load(w)):
        product = accelerator.matmul(weights, x)
        np.testing.assert_array_equal(product.words, expected)
        assert product.words.shape == (tokens, m)
        assert product.words.flags.writeable
        predicted = sum(batch.total for batch in product_cycles(TINY, m, k, tokens))
        assert product.cycles == (predicted if accelerator.counts_cycles else None)
    assert accelerator.usage - before == Usage(
        products=2,
        jobs=2 * -(-tokens // 4),
        operations=2 * m * k * tokens,
        words=2 * m * tokens,
        cycles=2 * predicted if accelerator.counts_cycles else None,
    )


def test_several_matrices_stay_loaded_until_they_are_given_back(accelerator: Accelerator) -> None:
    sets = [operands(seed, 8 + seed, 16 + seed, 2) for seed in range(3)]
    loaded = [accelerator.load(w) for w, _, _ in sets]
    assert [(each.m, each.k) for each in loaded] == [(8, 16), (9, 17), (10, 18)]
    accelerator.unload(loaded[1])
    for index in (2, 0, 2):
        np.testing.assert_array_equal(accelerator.matmul(loaded[index], sets[index][1]).words, sets[index][2])
    again = accelerator.load(sets[1][0])
    np.testing.assert_array_equal(accelerator.matmul(again, sets[1][1]).words, sets[1][2])


def test_a_loaded_matrix_is_a_copy_and_one_for_a_product_alone_is_given_back(
    accelerator: Accelerator,
) -> None:
    w, x, expected = operands(3, 9, 20, 2)
    held = set(accelerator._held)
    accelerator.matmul(w, x)
    assert accelerator._held == held
    matrix = accelerator.load(w)
    w[:] = 0
    np.testing.assert_array_equal(accelerator.matmul(matrix, x).words, expected)


def test_a_decoder_runs_on_every_back_end_unchanged(
    accelerator: Accelerator, tiny_checkpoint: Checkpoint
) -> None:
    tokens = np.array([3, 1, 4, 1, 5])
    before = accelerator.usage
    decoder = Decoder(tiny_checkpoint, AcceleratorProduct(accelerator, tiny_checkpoint))
    expected = Decoder(tiny_checkpoint).forward(tokens)
    np.testing.assert_array_equal(decoder.forward(tokens), expected)
    np.testing.assert_array_equal(decoder.forward(tokens), expected)
    assert (accelerator.usage - before).products == 2 * len(tiny_checkpoint.matrices)


def bad(
    kind: str, accelerator: Accelerator
) -> tuple[LoadedMatrix | npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Operands that every back end refuses with the same words."""
    w, x, _ = operands(1, 9, 20, 2)
    wrong = w.copy()
    wrong[4, 7] = 2
    wide = operands(1, 9, 65, 2)
    high = operands(1, 257, 20, 2)
    return {
        "code": (wrong, x),
        "weight type": (w.astype(np.int16), x),
        "weight axes": (w[0], x),
        "no rows": (w[:0], x),
        "K": (wide[0], wide[1]),
        "M": (high[0], high[1]),
        "activation type": (w, x.astype(np.float32)),
        "activation length": (w, x[:, :-1]),
        "activation axes": (w, x[0]),
        "no tokens": (w, x[:0]),
        "owner": (LoadedMatrix(m=9, k=20, number=0, owner=open_accelerator("golden", TINY)), x),
        "unloaded": (unloaded(accelerator, w), x),
    }[kind]


def unloaded(accelerator: Accelerator, w: npt.NDArray[np.int8]) -> LoadedMatrix:
    """A matrix that was given back."""
    matrix = accelerator.load(w)
    accelerator.unload(matrix)
    return matrix


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("code", "the weight code at row 4, column 7 is 2; -1, 0 or 1 is needed"),
        ("weight type", "weight codes are int16 of shape (9, 20); int8 of two axes is needed"),
        ("weight axes", "weight codes are int8 of shape (20,); int8 of two axes is needed"),
        ("no rows", "M is 0; this configuration runs 1 to 256"),
        ("K", "K is 65; this configuration runs 1 to 64"),
        ("M", "M is 257; this configuration runs 1 to 256"),
        (
            "activation type",
            "activation codes are float32 of shape (2, 20); int8 of shape (tokens, 20) is needed",
        ),
        (
            "activation length",
            "activation codes are int8 of shape (2, 19); int8 of shape (tokens, 20) is needed",
        ),
        ("activation axes", "activation codes are int8 of shape (20,); int8 of shape (tokens, 20) is needed"),
        ("no tokens", "there are no tokens to multiply with; one at least is needed"),
        ("owner", "the matrix was loaded by another accelerator; load it into this one"),
        ("unloaded", "the matrix was given back; load it again"),
    ],
)
def test_what_does_not_fit_is_refused_alike_and_harms_nothing(
    accelerator: Accelerator, kind: str, message: str
) -> None:
    weights, x = bad(kind, accelerator)
    before = accelerator.usage
    with pytest.raises(InputError) as caught:
        accelerator.matmul(weights, x)
    assert str(caught.value) == message
    assert accelerator.usage == before
    w, x, expected = operands(2, 9, 20, 2)
    np.testing.assert_array_equal(accelerator.matmul(w, x).words, expected)


def test_narrow_activations_are_held_to_their_width() -> None:
    config = AcceleratorConfig.from_dict({"act_bits": 4}, base=TINY)
    w = np.ones((2, 3), dtype=np.int8)
    with open_accelerator("cycle", config) as narrow:
        for worst in (-9, 8, 127):
            with pytest.raises(
                InputError, match=f"^activation {worst} does not fit 4 bits; -8 to 7 is needed$"
            ):
                narrow.matmul(w, np.array([[0, worst, -8]], dtype=np.int8))
        assert narrow.matmul(w, np.array([[-8, 7, 0]], dtype=np.int8)).words.tolist() == [[-1, -1]]


@pytest.mark.parametrize("name", ["golden", "cycle"])
def test_a_closed_accelerator_refuses_everything(name: str) -> None:
    w, x, _ = operands(1, 9, 20, 2)
    accelerator = open_accelerator(name, TINY)
    matrix = accelerator.load(w)
    accelerator.close()
    accelerator.close()
    message = f"^the {name} accelerator is closed; open another one$"
    with pytest.raises(InputError, match=message):
        accelerator.matmul(matrix, x)
    with pytest.raises(InputError, match=message):
        accelerator.load(w)
    with pytest.raises(InputError, match=message):
        accelerator.unload(matrix)


def test_an_unknown_back_end_is_named() -> None:
    with pytest.raises(
        InputError, match=r"^no back end is called 'gpu'; there are golden, cycle, rtl, board$"
    ):
        open_accelerator("gpu", TINY)


def test_what_only_a_board_knows_is_asked_for() -> None:
    with pytest.raises(InputError) as caught:
        open_accelerator("cycle", None)
    assert str(caught.value) == "a configuration is needed; only the back end board tells its own"
    with pytest.raises(InputError) as caught:
        open_accelerator("board", TINY)
    assert str(caught.value) == "the back end board needs a port, such as /dev/ttyUSB0, or simulation"
