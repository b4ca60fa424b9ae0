"""What Verilator's lint says about generated Verilog."""

import os
import subprocess
from pathlib import Path

from tritforge.rtl.tools import verilator_environment


def lint(*files: Path, top: str = "tritforge_core") -> "subprocess.CompletedProcess[str]":
    """Run Verilator's lint over files."""
    command = ["verilator", "--lint-only", "--top-module", top, *map(str, files)]
    environment = {**os.environ, **verilator_environment()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def assert_clean(result: "subprocess.CompletedProcess[str]") -> None:
    """Refuse a warning or an error."""
    output = result.stdout + result.stderr
    assert "%Warning" not in output, output
    assert "%Error" not in output, output
    assert result.returncode == 0, output
