"""`tritforge board`, and a board as what `tritforge generate` computes on, as they are run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_server import serving
from fake_accelerator import FakeAccelerator
from fake_link import FakeLink

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.cli.main import main
from tritforge.sim.device import RESULTS_BASE

SMALL = AcceleratorConfig.from_dict(
    {"weight_store": "bram", "weight_store_bytes": 1 << 12, "k_max": 32}, base=PRESETS["tiny"]
)
SETTINGS = [
    f"--set={name}={value}"
    for name, value in {"weight_store": "bram", "weight_store_bytes": 1 << 12, "k_max": 32}.items()
]


class Sometimes(FakeAccelerator):
    """Gives a wrong word while it is told to."""

    wrong = False

    def _end(self) -> None:
        super()._end()
        self.stores[RESULTS_BASE][0] ^= self.wrong


@pytest.fixture
def accelerator() -> Sometimes:
    return Sometimes(SMALL)


@pytest.fixture
def port(accelerator: Sometimes) -> Iterator[str]:
    with serving(FakeLink(accelerator)) as name:
        yield name


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main([*arguments])
    assert isinstance(leave.value.code, int)
    return leave.value.code


def test_a_board_is_identified_and_checked(
    port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "board.json"
    assert run("board", "--port", port, "--seed", "7", "--json", str(report)) == 0
    shown = capsys.readouterr().out
    assert f"{port}: TritForge accelerator, register map 1.0" in shown
    assert "8 lanes x 4 rows, tree (generic), packing i2, negation bias" in shown
    assert "stores: 4,096 bytes of weights, 128 of activations, " in shown
    document = json.loads(report.read_text())
    words = sum(product["words"] for product in document["products"])
    assert f"equal: all {words:,} words bit for bit; " in shown
    assert "0 retries (seed 7)" in shown
    assert (document["ok"], document["port"], document["seed"]) == (True, port, 7)
    assert AcceleratorConfig.from_dict(document["config"]) == SMALL
    assert document["stores"]["weights"] == 4096
    assert document["link"]["retries"] == 0
    assert [product["name"] for product in document["products"]][-1] == "whole weight store"
    assert "M, K or T is zero or over its bound" in document["refusal"]


def test_the_report_goes_to_standard_output_alone(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("board", "--port", port, "--quick", "--json", "-") == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["products"]) == 5
    assert "equal: all" in captured.err
    assert "sending weights" in captured.err


def test_layers_of_a_model_run_on_a_board(
    port: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(tiny_model), "--layer", "all", "--tokens", "3", "--json", "-"]
    assert run("board", "--port", port, *arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["products"]) == 14
    assert {product["jobs"] for product in document["products"]} == {2}


def test_a_wrong_word_ends_with_status_1_and_its_place(
    port: str, accelerator: Sometimes, capsys: pytest.CaptureFixture[str]
) -> None:
    accelerator.wrong = True
    assert run("board", "--port", port, "--quick", "--seed", "2") == 1
    assert "MISMATCH: one weight token 0 row 0: expected " in capsys.readouterr().out


def test_a_board_that_hangs_ends_with_status_1(
    port: str, accelerator: Sometimes, capsys: pytest.CaptureFixture[str]
) -> None:
    accelerator.hangs = True
    assert run("board", "--port", port, "--quick") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"tritforge: job 0 of the board on {port} did not end within 0 cycles")


def test_the_expected_configuration_is_held_to(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("board", "--port", port, "--quick", "--config", "tiny", *SETTINGS) == 0
    assert run("board", "--port", port, "--quick", "--config", "tiny", *SETTINGS, "--set=rows=8") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"tritforge: the board on {port} has rows 4 (expected 8); "
        "give the configuration that its bitstream was built from, or none"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            (
                "a port is needed: give --port /dev/ttyUSB0 or the like "
                "(python -m serial.tools.list_ports lists them), or --port simulation"
            ),
        ),
        (
            ["--port", "/dev/nothing"],
            (
                "cannot open port /dev/nothing: No such file or directory; "
                "python -m serial.tools.list_ports lists the ports there are"
            ),
        ),
        (["--port", "x", "--baud", "7"], "baud is 7; 1200 to 12000000 is needed"),
        (["--port", "x", "--seed", "-1"], "seed is -1; zero or more is needed"),
        (["--port", "x", "--model", "austen", "--layer", "9"], "layer is 9; the model has layers 0 to 2"),
        (
            ["--port", "simulation"],
            "a simulated board needs a configuration; give one, such as --config icebreaker",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("board", *arguments) == 2
    captured = capsys.readouterr()
    assert (captured.err, captured.out) == (f"tritforge: {message}\n", "")


def test_text_is_written_on_a_board(port: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It tells its configuration; its cycles are its own, and compared with nobody's."""
    arguments = ["--model", str(tiny_model), "--tokenizer", "ascii", "--prompt", "It is", "--tokens", "3"]
    assert run("generate", "--backend", "board", "--port", port, *arguments, "--json", "-") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert AcceleratorConfig.from_dict(document["config"]) == SMALL
    assert document["cycles"] > 0
    assert document["cycles_compared"] is False
    assert "equal: tokens and logits of all 3 steps are the golden model's" in captured.err


def test_a_wrong_word_shows_in_the_text(
    port: str, accelerator: Sometimes, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accelerator.wrong = True
    arguments = ["--model", str(tiny_model), "--tokenizer", "ascii", "--prompt", "It is", "--tokens", "3"]
    assert run("generate", "--backend", "board", "--port", port, *arguments) == 1
    assert "DIFFERENT: logits of new token 0" in capsys.readouterr().err
