"""Makes the figures of the pages anew: everything between ``<!-- table NAME -->`` and ``<!-- end -->``.

``python docs/_figures`` writes the pages that have changed, ``python docs/_figures --check`` names them and ends with
exit status 1 (the test suite does this). Each module here has the figures of one page: its path in `PAGE`,
`tables()`, the contents by name, and, where the page has pictures, `plots()`, their SVG by file name beside it.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tritforge.accel.files import write_atomically
from tritforge.rtl.array_report import fill_sections

DOCS = Path(__file__).resolve().parents[1]
MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def files(module: ModuleType) -> dict[Path, str]:
    """Return what a module makes: its page with the tables, and its pictures."""
    page = DOCS / module.PAGE
    found = {page: fill_sections(page.read_text(), module.tables(), name=Path("docs") / module.PAGE)}
    plots = module.plots() if hasattr(module, "plots") else {}
    return found | {page.with_name(name): svg for name, svg in plots.items()}


def main() -> int:
    """Write or check the pages; return the exit status."""
    parser = argparse.ArgumentParser(description="Make the figures of the documentation anew.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 where a page is stale"
    )
    check = parser.parse_args().check
    stale = []
    for name in MODULES:
        for path, made in files(import_module(name)).items():
            if path.exists() and path.read_text() == made:
                continue
            stale.append(str(path.relative_to(DOCS)))
            if not check:
                write_atomically(path, made)
                print(f"docs/{stale[-1]}")
    if check and stale:
        print(f"stale: {', '.join(stale)}; run: python docs/_figures", file=sys.stderr)
    return 1 if check and stale else 0


sys.exit(main())
