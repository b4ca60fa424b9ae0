"""Building and running the bench."""

import os
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError, SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import GeneratedCore, generate
from tritforge.sim import simulator
from tritforge.sim.runner import QUICK_COMPILE, BenchRunner
from tritforge.sim.simulator import CORE_NAME, build, compile_bench, run, stream_bench

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def core() -> GeneratedCore:
    return generate(TINY, name=CORE_NAME)


def test_a_build_is_made_once(core: GeneratedCore, simulators: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(core, simulators)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr(simulator, "_compile", None)
    assert build(core, simulators) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert (folder / "core.v").read_text() == core.text


def test_an_unfinished_build_is_made_again(
    core: GeneratedCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build counts from the moment that its last file is there."""
    compiled: list[Path] = []

    def interrupted(core: GeneratedCore, folder: Path, *_: object, **__: object) -> None:
        compiled.append(folder)
        folder.mkdir(exist_ok=True)
        if len(compiled) == 1:
            raise KeyboardInterrupt
        (folder / "complete").touch()

    monkeypatch.setattr(simulator, "_compile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(core, tmp_path)
    for _ in range(3):
        build(core, tmp_path)
    assert len(compiled) == 2


def test_whatever_the_build_depends_on_has_a_folder_of_its_own(
    core: GeneratedCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(core: GeneratedCore, folder: Path, *_: object, **__: object) -> None:
        folder.mkdir()

    monkeypatch.setattr(simulator, "_compile", pretend)
    other = GeneratedCore(name=CORE_NAME, config=TINY, text=core.text + "\n", ports=core.ports)
    bench = tmp_path / "bench.sv"
    bench.write_text(simulator.BENCH.read_text() + "\n")
    folders = [build(core, tmp_path), build(core, tmp_path, trace=True), build(other, tmp_path)]
    monkeypatch.setattr(simulator, "BENCH", bench)
    folders.append(build(core, tmp_path))
    folders.append(compile_bench(stream_bench(core), tmp_path, make_options=QUICK_COMPILE))
    assert len(set(folders)) == 5
    assert all(folder.parent == tmp_path for folder in folders)


def test_verilog_that_does_not_compile_is_an_error_with_the_log(tmp_path: Path) -> None:
    core = GeneratedCore(name=CORE_NAME, config=TINY, text="module oops\n", ports=())
    with pytest.raises(
        SimulationError, match=r"^the simulator did not compile; the end of its log:\n(?s:.*)%Error"
    ):
        build(core, tmp_path)
    assert not list(tmp_path.glob("*/complete"))


def test_a_compiler_without_a_word_makes_one_look_for_room(
    core: GeneratedCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, log_file: Path, **__: object) -> None:
        log_file.write_text("")
        raise RuntimeError("it ended with status 1")

    monkeypatch.setattr(BenchRunner, "build", fail)
    message = r"^the simulator did not compile; it wrote no log: see whether there is room left for .*/[0-9a-f]{20}$"
    with pytest.raises(SimulationError, match=message):
        build(core, tmp_path)


def test_a_cache_that_cannot_be_written_is_named(core: GeneratedCore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*/file/.*\.lock: .*; choose another cache folder$"):
        build(core, tmp_path / "file")


def test_the_environment_is_as_before(core: GeneratedCore, simulators: Path) -> None:
    folder = build(core, simulators)
    before = dict(os.environ)
    with pytest.raises(SimulationError, match="No module named 'no_such_module'"):
        run(folder, "no_such_module:entry", {}, config=TINY.to_dict())
    assert dict(os.environ) == before
