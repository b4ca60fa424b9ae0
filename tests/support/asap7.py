"""The ASAP7 cell library, which the project does not hold: where tests find it, or why they are skipped."""

import os
from pathlib import Path

import pytest


def asap7_files(*kinds: str) -> list[Path]:
    """Return the library's files of kinds such as ``SIMPLE``, ``INVBUF``, ``SEQ``, ``AO`` and ``OA``; skip without.

    The folder is that of the environment variable TRITFORGE_ASAP7, or ../shared/asap7 beside the checkout.
    """
    beside = Path(__file__).parents[2].parent / "shared" / "asap7"
    folder = Path(os.environ.get("TRITFORGE_ASAP7", beside))
    found = [sorted(folder.glob(f"*_{kind}_RVT_TT_nldm_*.lib*")) for kind in kinds]
    if not all(found):
        pytest.skip(f"the ASAP7 cell library is not in {folder}; set TRITFORGE_ASAP7 to its folder")
    return [files[0] for files in found]
