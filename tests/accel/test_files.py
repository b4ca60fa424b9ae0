"""Files that are there whole or not at all."""

import re
from pathlib import Path

import pytest

from tritforge.accel.errors import InputError
from tritforge.accel.files import check_writable, staged, write_atomically


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_atomically(path, "ä")
    assert path.read_bytes() == "ä".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    write_atomically(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    message = f"cannot write {path}: No space left on device; choose another path"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write_atomically(path, "new")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")

    def interrupted(self: Path, mode: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "chmod", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


@pytest.mark.parametrize("write", [check_writable, lambda path: write_atomically(path, "x")])
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, write: object) -> None:
    assert callable(write)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, reason in (
        (tmp_path / "folder", "Is a directory"),
        (tmp_path / "file" / "x", "File exists"),
        (tmp_path / "file" / "x" / "y", "Not a directory"),
    ):
        message = f"cannot write {path}: {reason}; choose another path"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            write(path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", tmp_path / "folder"]


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        check_writable(tmp_path / name)
    assert list(tmp_path.iterdir()) == [tmp_path / "old"]
    assert (tmp_path / "old").read_text() == "old"


def test_what_is_staged_takes_its_place_at_the_end(tmp_path: Path) -> None:
    for name in ("file", "folder"):
        path = tmp_path / "new" / name
        with staged(path) as stage:
            assert not path.exists()
            if name == "file":
                stage.write_text("new")
            else:
                stage.mkdir()
                (stage / "x").write_text("new")
        assert (path if name == "file" else path / "x").read_text() == "new"
    assert sorted((tmp_path / "new").iterdir()) == [tmp_path / "new" / "file", tmp_path / "new" / "folder"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError("wrong"), OSError(28, "No space left")])
def test_what_ends_the_staging_leaves_nothing_and_keeps_the_old(error: BaseException, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with staged(path, replace=True) as stage:
            stage.write_text("new")
            raise error

    (tmp_path / "old").write_text("old")
    for path in (tmp_path / "old", tmp_path / "new" / "file"):
        with pytest.raises((KeyboardInterrupt, InputError)):
            write(path)
    assert list(tmp_path.iterdir()) == [tmp_path / "old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize("old", ["file", "folder"])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_what_exists_is_replaced_only_by_force(old: str, new: str, tmp_path: Path) -> None:
    def make(path: Path, kind: str) -> None:
        if kind == "folder":
            path.mkdir()
            path = path / "x"
        path.write_text(kind)

    path = tmp_path / "path"
    make(path, old)
    message = f"{path} exists; choose another path, or replace it by force"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"), staged(path) as stage:
        pytest.fail(f"{stage} is never written")
    with staged(path, replace=True) as stage:
        make(stage, new)
    assert path.is_dir() == (new == "folder")
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_there_comes_back_when_it_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "path"
    path.mkdir()
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "path" and target == path and (self.parent / "replaced").exists():
            raise OSError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    message = f"cannot write {path}: Permission denied; choose another path"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"), staged(path, replace=True) as stage:
        stage.mkdir()
    assert list(tmp_path.iterdir()) == [path]
