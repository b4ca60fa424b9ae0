"""Makes the figures of the pages anew: everything between ``<!-- table NAME -->`` and ``<!-- end -->``.

``python docs/_figures`` writes the pages that have changed, ``python docs/_figures --check`` names them and ends with
exit status 1 (the test suite does this). Each module here has the figures of one page: its path in `PAGE`, and
`tables()`, the contents by name.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from tritforge.accel.files import write_atomically
from tritforge.rtl.array_report import fill_sections

DOCS = Path(__file__).resolve().parents[1]
MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> int:
    """Write or check the pages; return the exit status."""
    parser = argparse.ArgumentParser(description="Make the figures of the documentation anew.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 where a page is stale"
    )
    check = parser.parse_args().check
    stale = []
    for name in MODULES:
        module = import_module(name)
        page = DOCS / module.PAGE
        text = page.read_text()
        made = fill_sections(text, module.tables(), name=Path("docs") / module.PAGE)
        if made == text:
            continue
        stale.append(module.PAGE)
        if not check:
            write_atomically(page, made)
            print(f"docs/{module.PAGE}")
    if check and stale:
        print(f"stale: {', '.join(stale)}; run: python docs/_figures", file=sys.stderr)
    return 1 if check and stale else 0


sys.exit(main())
