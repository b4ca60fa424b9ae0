"""Temporary folders of simulations: removed at their end, and by the next one after a process that was killed."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tritforge.sim import scratch
from tritforge.sim.scratch import PREFIX, Scratch

_HOLDER = """
import time
from tritforge.sim.scratch import Scratch
held = Scratch()
print(held.path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "GRACE_SECONDS", -1)
    return tmp_path


def test_it_is_gone_after_its_end(temporary: Path) -> None:
    mine = Scratch()
    (mine.path / "file").write_text("")
    assert mine.path.parent == temporary
    mine.cleanup()
    mine.cleanup()
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_and_no_other(temporary: Path) -> None:
    mine = Scratch()
    (temporary / "other").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(temporary / "other")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary)},
        text=True,
    ) as holder:
        assert holder.stdout is not None
        theirs = Path(holder.stdout.readline().strip())
        scratch.remove_abandoned()
        spared = theirs.is_dir()
        holder.kill()
    assert spared
    scratch.remove_abandoned()
    assert not theirs.exists()
    assert mine.path.is_dir()
    assert (temporary / "other").is_dir()
    mine.cleanup()


def test_a_folder_that_was_just_made_is_left(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "GRACE_SECONDS", 60)
    young, old = temporary / f"{PREFIX}young", temporary / f"{PREFIX}old"
    young.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 61,) * 2)
    scratch.remove_abandoned()
    assert [path.name for path in temporary.iterdir()] == [young.name]
