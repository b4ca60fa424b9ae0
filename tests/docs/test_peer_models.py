"""What is kept of the comparison with SCALE-Sim and ZigZag is what this project's models say now."""

import json
import sys
from importlib import import_module
from typing import Any

import pytest
from doc_commands import ROOT

from tritforge.accel.presets import load_config

KEPT = json.loads((ROOT / "benchmarks" / "models.json").read_text())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield import_module("bench_models")
    del sys.modules["bench_models"]


def test_our_side_of_the_comparison_is_what_the_models_say_now(bench: Any) -> None:
    """Cycles, traffic and energy; whoever changes them runs `python benchmarks/bench_models.py --keep`."""
    config = load_config(KEPT["preset"])
    for row in KEPT["products"]:
        said = {name: row["cycle_model"][name] for name in row["cycle_model"].keys() - {"seconds", "repeats"}}
        now = bench.predicted(config, row["m"], row["k"], row["tokens"])
        assert said.keys() == now.keys()
        for name, value in now.items():
            assert said[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-12)), name


def test_every_product_is_there_and_ran_on_the_verilog_as_predicted(bench: Any) -> None:
    names = ("model", "matrix", "m", "k", "tokens")
    kept = [tuple(row[name] for name in names) for row in KEPT["products"]]
    assert sorted(kept) == sorted(tuple(case[name] for name in names) for case in bench.products())
    assert all(row["rtl"]["cycles"] == row["cycle_model"]["cycles"] for row in KEPT["products"])
    assert KEPT["ok"] is True


def test_the_machine_that_zigzag_was_given_is_the_preset(bench: Any) -> None:
    """Ports and tile; and the peers are the versions that the benchmark installs."""
    config = load_config(KEPT["preset"])
    array = bench.zigzag_array(config)
    assert array["lanes"] * array["rows"] == config.lanes * config.rows
    assert array["weight_port_bits"] == config.weight_port_bits
    for row in KEPT["products"]:
        bits = 2 * row["m"] * row["k"]
        assert row["zigzag_given"]["weight_bits"] == bits
        # This project's stream has a beat of biases a row tile besides.
        assert (
            0 <= row["cycle_model"]["weight_bits"] - bits <= row["m"] // config.rows * config.weight_port_bits
        )
    pins = dict(pin.split("==") for found in bench.PEERS.values() for pin in found)
    kept = {
        name: number for found in KEPT["peers"].values() for name, number in found.items() if name in pins
    }
    assert {name: kept[name] for name in ("scalesim", "zigzag-dse")} == {
        name: pins[name] for name in ("scalesim", "zigzag-dse")
    }


def test_zigzag_is_as_close_as_the_page_says() -> None:
    said = "with the order searched it is within half a per cent, but for the smallest product of 16 tokens"
    assert said in " ".join((ROOT / "docs" / "peers.md").read_text().split())
    for row in KEPT["products"]:
        close = row["zigzag_search"]["cycles"] == pytest.approx(row["rtl"]["cycles"], rel=0.005)
        assert close == ((row["m"], row["k"], row["tokens"]) != (256, 256, 16))


def test_both_accountings_of_energy_agree_as_the_page_says() -> None:
    assert "The two totals agree within 3 %" in " ".join((ROOT / "docs" / "peers.md").read_text().split())
    for row in KEPT["products"]:
        assert row["zigzag_given"]["energy_pj"] == pytest.approx(row["cycle_model"]["energy_pj"], rel=0.03)
