"""Files of a sweep, and its drawings."""

import json
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sweep_points import device, small_request

from tritforge.accel.parallel import SerialExecutor
from tritforge.accel.presets import load_config
from tritforge.explore.choice import Choice, Wish, choose
from tritforge.explore.output import config_toml, file_stem, markdown, summary, write_results
from tritforge.explore.plots import alternative, plot_choice
from tritforge.explore.reasons import config_of, reasons
from tritforge.explore.run import Sweep, sweep

WISH = Wish()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, list[Choice]]:
    done = sweep(small_request(), tmp_path_factory.mktemp("sweep"), SerialExecutor())
    return done, list(choose(done.frame, WISH))


def test_files_have_the_table_the_front_and_the_choice(
    found: tuple[Sweep, list[Choice]], tmp_path: Path
) -> None:
    done, choices = found
    plots = [(f"{one.device}.svg", b"<svg/>", "two plots") for one in choices]
    written = write_results(tmp_path, done, choices, WISH, plots)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    table = pd.read_parquet(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(table[list(done.frame)], done.frame)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table, check_dtype=False, rtol=1e-15)
    fronted = pd.read_csv(tmp_path / "front.csv")
    assert fronted["point"].tolist() == table[table["front"]]["point"].tolist()
    for choice in choices:
        assert table[table["device"] == choice.device]["front"].tolist() == choice.front.tolist()
        path = tmp_path / f"recommended_{file_stem(choice.model, choice.device)}.toml"
        assert choice.point is not None
        row = choice.row(choice.point)
        assert load_config(str(path)) == config_of(row, done.request.space)
        assert row["lanes"] == load_config(str(path)).lanes
        for line in reasons(choice, done.request, WISH):
            assert f"# {line}\n" in path.read_text()
    text = (tmp_path / "summary.md").read_text()
    assert "![two plots](bench.svg)" in text
    assert text.count("## tiny on ") == 2


def test_one_choice_is_called_recommended(tmp_path: Path) -> None:
    request = small_request()
    request = replace(request, space=replace(request.space, devices=(device(),)))
    done = sweep(request, tmp_path, SerialExecutor())
    names = {path.name for path in write_results(tmp_path, done, list(choose(done.frame, WISH)), WISH, [])}
    assert names == {"table.parquet", "table.csv", "front.csv", "summary.md", "recommended.toml"}


def test_the_summary_can_be_written_as_json_and_says_the_same(found: tuple[Sweep, list[Choice]]) -> None:
    done, choices = found
    document = json.loads(json.dumps(summary(done, choices, WISH)))
    assert document["ok"]
    assert document["points"] == 24
    assert document["accelerators"] == 16
    assert document["limits"] == {"min_tokens": 0.0}
    for choice, said in zip(choices, document["choices"], strict=True):
        assert said["why"] == list(reasons(choice, done.request, WISH))
        assert choice.point is not None
        assert said["recommended"] == choice.row(choice.point)
    none = Wish(max_luts=1)
    lost = list(choose(done.frame, none))
    document = summary(done, lost, none)
    assert not document["ok"]
    assert document["choices"][0]["config"] is None
    assert "none is within all limits" in markdown(done, lost, none)


def test_a_configuration_is_toml() -> None:
    config = load_config("ecp5")
    assert tomllib.loads(config_toml(config, ["why", 'a "quoted" line'])) == config.to_dict()


@pytest.mark.parametrize("wish", [Wish(min_tokens=10, max_luts=2000), Wish(phase="decode", max_luts=1)])
def test_a_drawing_is_svg_with_its_text_for_both_schemes(
    found: tuple[Sweep, list[Choice]], wish: Wish
) -> None:
    choice = next(choose(found[0].frame, wish))
    content = plot_choice(choice, device(), wish, salt="a")
    root = ET.fromstring(content)  # noqa: S314 - written here
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text == alternative(choice, wish)
    text = content.decode()
    assert "prefers-color-scheme:dark" in text
    assert "tokens a second in decode" in text
    assert ("tokens a second in prefill" in text) is (wish.phase == "both")
    assert f"limit: {wish.max_luts:,.0f} LUTs" in text
    assert ("recommended" in text) is (choice.point is not None)
    assert plot_choice(choice, device(), wish, salt="a") == content


def test_names_of_files_hold_letters_and_digits() -> None:
    assert file_stem("microsoft/bitnet b1.58", "kv260") == "bitnet-b1.58_kv260"
