"""`tritforge explore`, as it is run."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import load_config
from tritforge.cli import explore
from tritforge.cli.main import main
from tritforge.explore import space

SMALL = ("--model", "TriLM_99M", "--device", "kv260", "--sweep", "lanes=64,128", "--sweep", "rows=8,16,300")


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(["explore", *arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


def read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text())
    assert isinstance(document, dict)
    return document


def test_a_sweep_is_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*SMALL, "-o", "out", "--json", "out.json") == 0
    streams = capsys.readouterr()
    assert "6 combinations, 4 accelerators (2 are none; summary.md has the reasons)" in streams.out
    assert re.search(r"- Decode: [\d.]+ tokens/s, [\d.]+ mJ a token", streams.out)
    assert "- Clock: 200 MHz; assumed: nothing was routed for this part here." in streams.out
    assert "LUTs are those of ECP5, by a model fitted to" in streams.out
    assert streams.err == "6 points\nchoosing\n"
    document = read(tmp_path / "out.json")
    assert document["ok"] is True
    assert document["skipped"] == {"rows is 300; it must lie in 1 to 256": 2}
    assert set(document["tools"]) == {"python", *explore.PACKAGES}
    for name in document["files"]:
        assert (tmp_path / name).is_file()
    (chosen,) = document["choices"]
    table = pd.read_parquet("out/table.parquet")
    assert len(table) == 4
    assert table["luts"].tolist() == pd.read_csv("out/table.csv")["luts"].tolist()
    assert chosen["recommended"]["luts"] in table["luts"].tolist()
    assert load_config("out/recommended.toml").to_dict() == chosen["config"]
    # Limits are no part of a table, so that other wishes cost nothing.
    assert run(*SMALL, "-o", "out", "--goal", "area", "--no-plots") == 0
    assert "6 points, 1 of 1 chunks are there" in capsys.readouterr().err


def test_the_recommended_configuration_is_taken_by_other_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ("--sweep", "lanes=8,16", "--sweep", "rows=1,2", "--sweep", "tokens_max=1")
    assert run("--model", "austen", *tiny, "--no-plots", "-o", "out") == 0
    with pytest.raises(SystemExit) as leave:
        main(["verilog", "--config", "out/recommended.toml", "-o", "core.v"])
    assert leave.value.code == 0
    assert read(tmp_path / "core.json")["config"] == load_config("out/recommended.toml").to_dict()


def test_models_devices_and_axes_come_from_a_file_and_options_come_on_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text(
        'models = ["TriLM_99M", "TriLM_190M"]\ndevices = ["kv260", "asic-hbm2"]\n'
        '[sweep]\nlanes = "64..256"\nrows = [8]\n'
    )
    arguments = ("--sweep-file", "sweep.toml", "--sweep", "rows=4,8", "--clock", "321", "--no-plots")
    assert run(*arguments, "--json", "a.json") == 0
    document = read(tmp_path / "a.json")
    assert document["points"] == 2 * 2 * 3 * 2
    assert document["axes"] == {"lanes": [64, 128, 256], "rows": [4, 8]}
    assert {one["device"] for one in document["choices"]} == {"kv260", "asic-hbm2"}
    assert all("Clock: 321 MHz; given by the user." in one["why"] for one in document["choices"])
    folder = Path(document["files"][0]).parent
    assert folder.parent == Path("build/explore")
    assert len(list(folder.glob("recommended_*.toml"))) == 4


def test_a_device_of_ones_own_bounds_what_is_given(tmp_path: Path) -> None:
    own = ("--bandwidth", "10", "--clock", "300", "--luts", "9000", "--memory", "1")
    arguments = ("--model", "TriLM_99M", *own, "--sweep", "lanes=16..512", "--phase", "decode", "--no-plots")
    assert run(*arguments, "-o", str(tmp_path), "--json", str(tmp_path / "a.json")) == 0
    (chosen,) = read(tmp_path / "a.json")["choices"]
    assert chosen["device"] == "custom"
    assert chosen["recommended"]["luts"] <= 9000
    assert chosen["within"] < chosen["points"]


def test_the_table_is_the_same_on_two_processes(tmp_path: Path) -> None:
    arguments = (
        "--model",
        "TriLM_99M",
        "--sweep",
        "lanes=8..1024:8",
        "--sweep",
        "rows=1..80:1",
        "--no-plots",
    )
    assert space.CHUNK_POINTS < 128 * 80
    assert run(*arguments, "-o", str(tmp_path / "one"), "--jobs", "1") == 0
    assert run(*arguments, "-o", str(tmp_path / "two"), "--jobs", "2") == 0
    for name in ("table.parquet", "table.csv", "front.csv", "recommended.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_set_is_not_swept(tmp_path: Path) -> None:
    swept = ("lanes", "weight_port_bits", "act_port_bits", "result_port_bits", "datapath", "packing")
    settings = [word for name in swept for word in ("--set", f"{name}={getattr(AcceleratorConfig(), name)}")]
    assert run("--no-plots", *settings, "-o", str(tmp_path), "--json", str(tmp_path / "a.json")) == 0
    assert set(read(tmp_path / "a.json")["axes"]) == set(space.DEFAULT_AXES) - set(swept)


def test_nothing_within_the_limits_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*SMALL, "--max-luts", "10", "-o", str(tmp_path), "--json", "-") == 1
    streams = capsys.readouterr()
    assert json.loads(streams.out)["ok"] is False
    assert streams.err.endswith(
        "tritforge: nothing is within all limits; summary.md says what is in the way\n"
    )
    assert "In the way is the limit on LUTs" in (tmp_path / "summary.md").read_text()
    assert not list(tmp_path.glob("recommended*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sweep", "wings=2"), "axis 'wings' is no parameter of a configuration; did you mean "),
        (("--sweep", "rows="), "axis rows has no values; give one at least"),
        (
            ("--sweep", "rows=2", "--sweep", "rows=4"),
            "--sweep rows is given twice; name all its values in one",
        ),
        (("--sweep", "rows=2", "--set", "rows=4"), "rows is swept, and set by --set; leave one of them out"),
        (("--sweep", f"rows={10**30}"), f"axis rows has the value {10**30}; 2147483647 is the most"),
        (("--sweep", "rows=2", "--context", f"{10**30}"), f"context is {10**30}; a whole number from 1 to "),
        (("--sweep", "rows=2", "--json", "file/a"), "cannot write file/a: "),
        (
            ("--sweep", "rows=2", "--no-plots", "-o", "out", "--json", "out/table.csv"),
            "--json is out/table.csv, a",
        ),
        (
            ("--device", "kv260", "--clock", "1e308"),
            "device 'kv260': clock_mhz is 1e+308; a number from 1e-09 to 1e+12 is needed",
        ),
        (
            ("--config", "ulx3s", "--device", "ulx3s"),
            "the combination is no accelerator: weight_store is 'bram'; ",
        ),
        (
            ("--sweep", "rows=0"),
            "the combination is no accelerator: rows is 0; it must lie",
        ),
        (
            ("--sweep", "rows=0,300", "--sweep", "lanes=64,128"),
            "none of the 4 combinations is an accelerator; of 2: rows is ",
        ),
        (("--model", "bitnet-b1.58-2B-4X"), "no model shape is called 'bitnet-b1.58-2B-4X'; did you mean "),
        (("--device", "kv261"), "no device is called 'kv261'; did you mean kv260?"),
        (("--bandwidth", "3"), "a device of one's own needs --clock; or name one with --device"),
        (
            ("--device", "kv260", "--dram", "PAPER"),
            "technology.csv has no operation 'dram.PAPER' at 7nm; it has ",
        ),
        (("--node", "3nm"), "technology.csv has no node '3nm'; it has "),
        (("--sweep-file", "none.toml"), "cannot read none.toml: No such file or directory; give a TOML file"),
        (("--config", "none"), "no preset and no readable file 'none'; the presets are "),
        (
            ("--device", "kv260", "--attention", "int8", "--kv-bits", "16"),
            "kv_bits is 16 with attention in int8",
        ),
        (("--sweep", "rows=2", "-o", "file"), "cannot write file: it is no folder; choose another path"),
        (
            ("--sweep", "rows=2", "-o", "other"),
            "other holds a sweep of another request (other points, axes); choose",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    if "other" in arguments:
        assert run("--sweep", "rows=2,4", "-o", "other", "--no-plots") == 0
        capsys.readouterr()
    assert run(*arguments) == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines() if not line.endswith(("points", "choosing"))
    ]
    assert len(lines) == 1
    assert lines[0].startswith(f"tritforge: {message}")


def test_without_pyarrow_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(explore, "find_spec", lambda _name: None)
    assert run() == 3
    assert capsys.readouterr().err == (
        "tritforge: pyarrow is not installed; run: pip install 'tritforge[explore]'\n"
    )
