"""Builds the distribution from a copy of its sources, as a release does."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What the distribution is built from, besides the packages.
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
#: What a checkout holds beside its sources.
_LEFT = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")


def roots() -> tuple[str, ...]:
    """Return the folders that are installed, which `setup.py` names."""
    for statement in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "ROOTS":
            return tuple(ast.literal_eval(statement.value))
    raise AssertionError("setup.py has no ROOTS")


def copy_sources(folder: Path) -> Path:
    """Copy what the distribution is built from; return the copy."""
    for name in roots():
        shutil.copytree(ROOT / name, folder / name, ignore=_LEFT)
    for name in FILES:
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def build(kind: str, sources: Path, folder: Path) -> Path:
    """Build a ``wheel`` or an ``sdist`` with the setuptools that is installed, without the network."""
    folder.mkdir(exist_ok=True)
    program = f"import setuptools.build_meta as b, sys; b.build_{kind}(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=sources, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Setuptools warns of files whose place in the distribution is in doubt.
    assert "is absent from the `packages` configuration" not in done.stdout + done.stderr
    (made,) = folder.iterdir()
    return made
