"""`tritforge cosim --seeds`: seeds that fail, and what ends a run; the simulator is Python with a planted fault."""

import json
import re
import shlex
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pytest
from dying import die

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, SimulationError
from tritforge.cli.cosim_seeds import SEEDS_MAX, parse_seeds
from tritforge.cli.main import main
from tritforge.sim import comparison, cosim, regression
from tritforge.sim.comparison import predicted_cycles
from tritforge.sim.cosim import CosimTask, Source
from tritforge.sim.golden import ternary_matmul
from tritforge.sim.operands import Operands
from tritforge.sim.rtl_protocol import ProductRun
from tritforge.sim.served_simulation import CompiledDesign

#: Seed whose third matrix of two, ``o_proj``, meets the fault, and those around it.
BAD, SEEDS = 5, "3,5,7"


class FaultySimulator:
    """Right but for one word, or an error, of products with certain activations."""

    activations: ClassVar[npt.NDArray[np.int8]]
    error: ClassVar[BaseException | None]
    products: ClassVar[int]

    def __init__(self, compiled: CompiledDesign, *, trace: Path | None = None) -> None:
        assert trace is None
        self.config = compiled.config

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def abort(self) -> None:
        pass

    def load(self, codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        return codes

    def unload(self, codes: npt.NDArray[np.int8]) -> None:
        pass

    def product(
        self, codes: npt.NDArray[np.int8], activations: npt.NDArray[np.int8], on_words: Any
    ) -> ProductRun:
        type(self).products += 1
        words = ternary_matmul(activations, codes)
        if np.array_equal(activations, self.activations):
            if self.error is not None:
                raise self.error
            words = words.copy()
            words[2, 1] += 1
        todo = Operands(
            name="", m=len(codes), k=codes.shape[1], weights=lambda: codes, activations=activations
        )
        on_words(words.size)
        return ProductRun(
            words=words,
            words_received=words.size,
            cycles=predicted_cycles(self.config, todo),
            timed_out=False,
            error=0,
        )


@pytest.fixture
def simulator(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> type[FaultySimulator]:
    """Simulators with a fault that the output projection of `BAD` meets."""
    task = CosimTask(model=str(tiny_model), layers=(1,), tokens=3, seed=BAD)
    operands = Source.open(task).operands(task)[3]
    assert operands.name == "model.layers.1.self_attn.o_proj"
    monkeypatch.setattr(FaultySimulator, "activations", operands.activations, raising=False)
    monkeypatch.setattr(FaultySimulator, "error", None, raising=False)
    monkeypatch.setattr(FaultySimulator, "products", 0, raising=False)

    def compile_core(config: AcceleratorConfig, cache: Path, **_: object) -> CompiledDesign:
        return CompiledDesign(config=config, folder=cache, verilog_sha256="0" * 64)

    monkeypatch.setattr(regression, "compile_core", compile_core)
    monkeypatch.setattr(cosim, "compile_core", compile_core)
    monkeypatch.setattr(comparison, "RtlAccelerator", FaultySimulator)
    return FaultySimulator


@pytest.fixture
def common(tiny_model: Path, tmp_path: Path) -> list[str]:
    """Arguments of a run on the small model and accelerator, in this process."""
    words = ["cosim", "--model", str(tiny_model), "--config", "tiny", "--set", "rows=4", "--tokens", "3"]
    return [*words, "--layer", "1", "--json", str(tmp_path / "result.json")]


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(arguments)
    assert isinstance(leave.value.code, int)
    return leave.value.code


def test_a_seed_that_fails_is_told_with_the_command_that_repeats_it_and_the_others_run(
    simulator: type[FaultySimulator], common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "result.json"
    assert run(*common, "--jobs", "1", "--seeds", SEEDS) == 1
    document = json.loads(report.read_text())
    assert (document["ok"], document["seeds"], document["failed"]) == (False, [3, 5, 7], [BAD])
    assert [one["ok"] for one in document["runs"]] == [True, False, True]
    assert document["words_compared"] == 3 * 3 * (40 + 20 + 20 + 40 + 48 + 48 + 40)
    first = document["runs"][1]["first_mismatch"]
    assert (first["name"], first["token"], first["row"]) == ("model.layers.1.self_attn.o_proj", 2, 1)
    assert first["got"] == first["expected"] + 1
    shown, said = capsys.readouterr()
    assert "seed 5 failed" in said.splitlines()
    assert [line.split()[1] for line in shown.splitlines() if re.match(r" +[357] ", line)] == [
        "equal",
        "FAILED",
        "equal",
    ]
    mismatch, repeat, verdict = shown.splitlines()[-3:]
    assert mismatch == (
        f"MISMATCH: model.layers.1.self_attn.o_proj token 2 row 1: expected {first['expected']}, "
        f"got {first['got']} (seed 5)"
    )
    assert verdict == "FAILED: 1 of 3 seeds (2,304 words, " + f"{document['cycles']:,} cycles)"
    program, *words = shlex.split(repeat.removeprefix("  repeat: "))
    assert program == "tritforge"
    assert words[-2:] == ["--seed", "5"]
    assert not {"--seeds", "--jobs", "--json"} & set(words)
    assert run(*words, "--json", str(report)) == 1
    alone = json.loads(report.read_text())
    assert alone["config"] == document["config"]
    assert {name: alone[name] for name in ("matrices", "first_mismatch")} == {
        name: document["runs"][1][name] for name in ("matrices", "first_mismatch")
    }
    assert mismatch in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SimulationError("the simulator ended early"), 1, "seed 5: the simulator ended early"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_ends_a_simulator_ends_the_run_with_a_line_and_no_result(
    error: BaseException,
    status: int,
    line: str,
    simulator: type[FaultySimulator],
    common: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    simulator.error = error
    assert run(*common, "--jobs", "1", "--seeds", SEEDS) == status
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == f"tritforge: {line}"
    assert not any("Traceback" in one for one in said)
    assert simulator.products == 7 + 4
    assert not (tmp_path / "result.json").exists()


def test_a_process_that_ends_is_told_of(
    common: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(regression, "run_products", die)
    assert run(*common, "--jobs", "2", "--seeds", "3,5") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "tritforge: a worker process ended in the middle of its work, killed or out of memory; "
        "run the command again, with fewer --jobs where memory is short"
    )
    assert not (tmp_path / "result.json").exists()


def test_seeds_are_read() -> None:
    assert parse_seeds("0-3") == (0, 1, 2, 3)
    assert parse_seeds("7-9, 1,5,8") == (1, 5, 7, 8, 9)
    assert parse_seeds("4-4") == (4,)
    assert len(parse_seeds(f"1-{SEEDS_MAX},3-{SEEDS_MAX}")) == SEEDS_MAX


@pytest.mark.parametrize(
    "text",
    ["", "one", "1,", "3-1", "-1", "1-", "1-2-3", "0x1", "1.5", "+1", pytest.param("9" * 5000, id="long")],
)
def test_what_is_no_number_or_range_is_refused(text: str) -> None:
    message = (
        f"seeds is {text!r}; numbers of at most 18 digits and ranges, such as 0-99 or 1,5,7-9, are needed"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_seeds(text)


@pytest.mark.parametrize(
    "text", ["0-100000", "0-999999999999999999", "0-99999,100000", "0-60000,70000-130000"]
)
def test_more_seeds_than_fit_into_a_run_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"^seeds is '{text}'; 100,000 at most fit into one run$"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--seeds", "5-3"], "seeds is '5-3'; numbers of at most 18 digits and ranges, such as 0-99"),
        (["--seeds", "0-3", "--seed", "1"], "seeds is '0-3', and a --seed is given; give one of the two"),
        (["--seeds", "0-3", "--jobs", "0"], "jobs is 0; one process at least is needed"),
        (
            ["--seeds", "0-3", "--trace", "w.vcd"],
            "a waveform is that of one simulator here; --trace goes with",
        ),
        (["--seeds", "0-3", "--layer", "2"], "layer is 2; the model has layers 0 to 1"),
        (["--seeds", "0-3", "--tokens", "65"], "tokens is 65; "),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], line: str, common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*common, *arguments) == 2
    (said,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("tritforge: ")]
    assert said.startswith(f"tritforge: {line}")
    assert not (tmp_path / "result.json").exists()
