"""Generated Verilog found again, and when it is not."""

import json
from pathlib import Path

import pytest
from mutants import BufferNotReleased, LaneSign

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import GeneratedCore, generate
from tritforge.sim.core_cache import cached_core

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def fresh() -> GeneratedCore:
    return generate(TINY, name="core")


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch, fresh: GeneratedCore) -> list[str]:
    """What the generator is asked for; it answers with what it once made."""
    asked: list[str] = []

    def answer(config: AcceleratorConfig, *, name: str) -> GeneratedCore:
        asked.append(name)
        return GeneratedCore(name=name, config=config, text=fresh.text, ports=fresh.ports)

    monkeypatch.setattr("tritforge.rtl.verilog.generate", answer)
    return asked


def test_what_was_generated_is_read_again(fresh: GeneratedCore, generated: list[str], tmp_path: Path) -> None:
    first, second = (cached_core(TINY, tmp_path, name="core") for _ in range(2))
    assert generated == ["core"]
    assert first == second == fresh
    assert second.sha256 == fresh.sha256
    assert second.sidecar() == fresh.sidecar()


def test_another_configuration_name_class_or_source_is_generated(
    generated: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_core(TINY, tmp_path, name="core")
    cached_core(AcceleratorConfig.from_dict({"k_max": 63}, base=TINY), tmp_path, name="core")
    cached_core(TINY, tmp_path, name="other")
    assert len(generated) == 3
    with monkeypatch.context() as patch:
        for count, core in enumerate((LaneSign, BufferNotReleased), 4):
            patch.setattr("tritforge.rtl.verilog.Core", core)
            cached_core(TINY, tmp_path, name="core")
            assert len(generated) == count
    sources = tmp_path / "accel"
    sources.mkdir()
    (sources / "__init__.py").write_text("")
    (sources / "adder.py").write_text("WIDTH = 1")
    monkeypatch.setattr("tritforge.accel.__file__", str(sources / "__init__.py"))
    cached_core(TINY, tmp_path, name="core")
    assert len(generated) == 6
    cached_core(TINY, tmp_path, name="core")
    assert len(generated) == 6
    (sources / "adder.py").write_text("WIDTH = 2")
    cached_core(TINY, tmp_path, name="core")
    assert len(generated) == 7
    assert len(list(tmp_path.glob("verilog-*.json"))) == 7


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "list"])
def test_a_damaged_file_is_made_again(
    fresh: GeneratedCore, generated: list[str], tmp_path: Path, damage: str
) -> None:
    cached_core(TINY, tmp_path, name="core")
    (path,) = tmp_path.glob("verilog-*.json")
    text = path.read_text()
    path.write_text(
        {"cut": text[:-9], "changed": text.replace("module", "modulo"), "empty": "", "list": "[]"}[damage]
    )
    assert cached_core(TINY, tmp_path, name="core") == fresh
    assert len(generated) == 2
    assert json.loads(path.read_text())["sha256"] == fresh.sha256


def test_a_cache_that_cannot_be_written_is_named(generated: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*/file/verilog-\w+\.json: "):
        cached_core(TINY, tmp_path / "file", name="core")
    assert generated == ["core"]
