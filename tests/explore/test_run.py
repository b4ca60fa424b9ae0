"""Sweeps chunk by chunk: stopped, continued, in any order, on any executor, and never mixed."""

import random
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from sweep_points import device, small_request

from tritforge.accel.errors import InputError
from tritforge.accel.parallel import SerialExecutor
from tritforge.energy.technology import Technology, default_technology
from tritforge.explore import run, space, store
from tritforge.explore.objectives import Request, evaluate_chunk
from tritforge.explore.run import sweep
from tritforge.explore.store import describe_request, request_key


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five points, in this process."""
    monkeypatch.setattr(space, "CHUNK_POINTS", 5)
    monkeypatch.setattr(store, "CHUNK_POINTS", 5)


class Shuffled(Executor):
    """Does all pieces when the last is submitted, in a random order."""

    def __init__(self, pieces: int, seed: int) -> None:
        self._pieces, self._seed = pieces, seed
        self._waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, lambda: fn(*args, **kwargs)))
        if len(self._waiting) == self._pieces:
            random.Random(self._seed).shuffle(self._waiting)  # noqa: S311
            for done, make in self._waiting:
                done.set_result(make())
        return future


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "pieces").iterdir())}


def test_the_table_is_all_chunks_whatever_runs_them(small_chunks: None, tmp_path: Path) -> None:
    request = small_request()
    whole = sweep(request, tmp_path / "serial", SerialExecutor())
    assert whole.computed == request.space.chunks == 5
    shuffled = sweep(request, tmp_path / "shuffled", Shuffled(5, seed=3))
    with ThreadPoolExecutor(3) as pool:
        threads = sweep(request, tmp_path / "threads", pool)
    assert whole.table.equals(shuffled.table)
    assert whole.table.equals(threads.table)
    assert files(tmp_path / "serial") == files(tmp_path / "shuffled") == files(tmp_path / "threads")
    assert whole.frame["point"].is_monotonic_increasing
    assert whole.table.num_rows + sum(whole.skipped.values()) == len(request.space) == 24
    assert list(whole.skipped.values()) == [8]


def test_a_sweep_in_other_processes_is_the_same(tmp_path: Path) -> None:
    request = small_request()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = sweep(request, tmp_path / "pool", pool)
    assert found.table.equals(sweep(request, tmp_path / "serial", SerialExecutor()).table)


class StoppedError(Exception):
    """An interruption."""


def test_a_sweep_that_was_stopped_goes_on_and_computes_nothing_again(
    small_chunks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = small_request()
    whole = sweep(request, tmp_path / "whole", SerialExecutor())
    done: list[int] = []

    def stopping(request: Request, index: int) -> Any:
        if len(done) == 2:
            raise StoppedError
        done.append(index)
        return evaluate_chunk(request, index)

    monkeypatch.setattr(run, "evaluate_chunk", stopping)
    with pytest.raises(StoppedError):
        sweep(request, tmp_path / "part", SerialExecutor())
    assert sorted(files(tmp_path / "part")) == ["00000.parquet", "00001.parquet"]
    heard: list[tuple[str, int]] = []
    done[:] = [-1] * 9

    def counting(request: Request, index: int) -> Any:
        done.append(index)
        return evaluate_chunk(request, index)

    monkeypatch.setattr(run, "evaluate_chunk", counting)
    rest = sweep(
        request, tmp_path / "part", SerialExecutor(), step=lambda text, advance: heard.append((text, advance))
    )
    assert done[9:] == [2, 3, 4]
    assert rest.computed == 3
    assert rest.table.equals(whole.table)
    assert files(tmp_path / "part") == files(tmp_path / "whole")
    label = "24 points, 2 of 5 chunks are there"
    assert heard == [(label, 0), (label, 2), (label, 1), (label, 1), (label, 1)]
    assert sweep(request, tmp_path / "part", SerialExecutor()).computed == 0


@pytest.mark.parametrize("damage", ["short", "changed"])
def test_a_piece_that_is_damaged_is_made_again(small_chunks: None, tmp_path: Path, damage: str) -> None:
    whole = sweep(small_request(), tmp_path, SerialExecutor())
    piece = tmp_path / "pieces" / "00003.parquet"
    content = bytearray(piece.read_bytes())
    content[40] ^= 1
    piece.write_bytes(content[:-9] if damage == "short" else content)
    again = sweep(small_request(), tmp_path, SerialExecutor())
    assert again.computed == 1
    assert again.table.equals(whole.table)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda one: replace(one, scenario=replace(one.scenario, context=7)), "scenario"),
        (lambda one: replace(one, node="45nm"), "node"),
        (lambda one: replace(one, space=replace(one.space, devices=(device(),))), "points, devices"),
        (lambda one: replace(one, space=replace(one.space, following=())), "following"),
        (
            lambda one: replace(
                one,
                technology=Technology({(r.node, r.operation): r for r in default_technology()}, name="own"),
            ),
            "technology",
        ),
    ],
)
def test_a_folder_of_another_request_is_refused(
    tmp_path: Path, change: Callable[[Request], Request], named: str
) -> None:
    sweep(small_request(), tmp_path, SerialExecutor())
    message = (
        f"{tmp_path} holds a sweep of another request (other {named}); choose another folder, or remove it"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        sweep(change(small_request()), tmp_path, SerialExecutor())


def test_a_piece_of_another_request_is_refused(tmp_path: Path) -> None:
    sweep(small_request(), tmp_path / "one", SerialExecutor())
    other = replace(small_request(), node="45nm")
    sweep(other, tmp_path / "other", SerialExecutor())
    piece = Path("pieces") / "00000.parquet"
    (tmp_path / "one" / piece).write_bytes((tmp_path / "other" / piece).read_bytes())
    with pytest.raises(
        InputError, match=r"00000.parquet is a piece of another request; choose another folder"
    ):
        sweep(small_request(), tmp_path / "one", SerialExecutor())


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: it is no folder; choose another path$"):
        sweep(small_request(), tmp_path / "file", SerialExecutor())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "summary.md").write_text("mine")
    with pytest.raises(
        InputError, match=r"other holds summary.md, which is of no sweep; choose another folder$"
    ):
        sweep(small_request(), tmp_path / "other", SerialExecutor())
    (tmp_path / "request.json").write_text("[]")
    with pytest.raises(InputError, match=r"request.json is no request of a sweep; choose another folder$"):
        sweep(small_request(), tmp_path, SerialExecutor())
    (tmp_path / "request.json").write_text("{")
    with pytest.raises(InputError, match=r"request.json cannot be read \(.*\); remove the folder, or choose"):
        sweep(small_request(), tmp_path, SerialExecutor())


def test_a_sweep_without_an_accelerator_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^none of the 2 combinations is an accelerator; of 2: rows is 999; it"
    ):
        sweep(small_request(rows=(999,)), tmp_path, SerialExecutor())


def test_equal_requests_have_one_key() -> None:
    keys = {request_key(describe_request(small_request())) for _ in range(2)}
    assert len(keys) == 1
    assert request_key(describe_request(small_request(rows=(2, 3)))) not in keys
