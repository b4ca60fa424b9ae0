"""Commands explain themselves in at most ten times the start of bare Python; what is heavy waits."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tritforge.cli.version import TOOLS, version_lines

CHECKOUT = Path(__file__).parents[2]
#: Modules that take a tenth of a second and more to load, or that come with an extra.
HEAVY = {"amaranth", "cocotb", "distributed", "matplotlib", "numpy", "pandas", "pyarrow", "serial", "torch"}
_HELP = """
import contextlib, io, sys
from tritforge.cli.main import main
for words in [["--version"], *({words})]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(words)
print(sorted({heavy} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_startup", CHECKOUT / "benchmarks/bench_startup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_help_loads_anything_heavy(benchmark: ModuleType) -> None:
    words = [name.split()[1:] for name in benchmark.commands() if name != benchmark.BARE]
    program = _HELP.format(words=words, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_command_starts_within_the_bound(benchmark: ModuleType) -> None:
    ratios = benchmark.ratios(benchmark.measure(1))
    # A machine at work may stop one process for long; it gets another try.
    late = {name for name, times in ratios.items() if times > benchmark.BOUND}
    again = benchmark.ratios(benchmark.measure(3)) if late else {}
    assert {name for name in late if again[name] > benchmark.BOUND} == set()


def test_the_record_has_every_command(benchmark: ModuleType) -> None:
    """Or run: python benchmarks/bench_startup.py --docs . && python docs/_figures."""
    record = json.loads((CHECKOUT / benchmark.RECORD).read_text())
    assert list(record["seconds"]) == list(benchmark.commands())
    assert max(benchmark.ratios(record["seconds"]).values()) <= benchmark.BOUND


def test_the_version_names_the_tools_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOLS, "nothing", "a-package-that-nobody-has")
    first, *rest = version_lines()
    assert first.split()[0] == "tritforge"
    assert len(first.split()) == 2
    named = {line.split("  ")[1].strip() for line in rest}
    assert named >= {"Python", "NumPy", "Amaranth", "Verilator", "cocotb"}
    assert "nothing" not in named
