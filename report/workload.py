"""Cycles of a model's matrices on the array, prefill and decode apart, by the cycle model.

A matrix that the configuration's bounds or stores do not hold runs in pieces, as it does on a board; the host adds
the sums of pieces along K. Of experts, a block of tokens meets as many as there are choices, evenly, as the energy
accounting has it. Products run one by one: a list of jobs back to back would save the drain between them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.store_sizes import StoreSizes
from tritforge.models.fit import misfits
from tritforge.report.subject import Subject
from tritforge.sim.cycles import CAUSES, JobCycles, job_cycles, product_cycles
from tritforge.sim.matrix_pieces import Piece, StoreLimits, cut_matrix

_UNBOUNDED = 1 << 62


@dataclass(frozen=True, kw_only=True)
class MatrixCycles:
    """The products of one kind of matrix in a layer.

    Attributes
    ----------
    name, m, k
        Matrix, outputs and inputs.
    copies
        Products: of experts, as many as tokens meet.
    jobs
        Jobs that they take.
    cycles, issued
        Cycles, and those in which the lanes worked.
    stalls
        Cycles without a token between the first and the last, by cause.
    operations, weight_bytes
        Ternary operations, and bytes through the weight port.
    bound
        What takes most cycles.
    capacity
        Operations that the lanes can do in a cycle.
    """

    name: str
    m: int
    k: int
    copies: int
    jobs: int
    cycles: int
    issued: int
    stalls: dict[str, int]
    operations: int
    weight_bytes: int
    bound: str
    capacity: int

    @property
    def utilisation(self) -> float:
        """Share of the lanes' operations that was asked for."""
        return self.operations / (self.cycles * self.capacity)

    @property
    def parts(self) -> dict[str, int]:
        """Cycles by what the lanes did: useful work, empty places of tiles, what they waited for, and the ends."""
        useful = round(self.operations / self.capacity)
        rest = self.cycles - self.issued - sum(self.stalls.values())
        waits = {f"waiting for {cause}": self.stalls[cause] for cause in CAUSES}
        return {"working": useful, "empty lanes": self.issued - useful} | waits | {"fill and drain": rest}

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        names = (
            "name",
            "m",
            "k",
            "copies",
            "jobs",
            "cycles",
            "issued",
            "operations",
            "weight_bytes",
            "bound",
        )
        figures = {name: getattr(self, name) for name in names}
        return figures | {"utilisation": self.utilisation, "parts": self.parts}


@dataclass(frozen=True, kw_only=True)
class PhaseCycles:
    """All matrices in a phase.

    Attributes
    ----------
    phase, tokens, layers
        ``prefill`` of a block of tokens, or ``decode`` of one; layers that each matrix is in.
    matrices
        Those of a layer.
    head
        A ternary LM head, or None.
    capacity
        Operations that the lanes can do in a cycle.
    """

    phase: str
    tokens: int
    layers: int
    matrices: tuple[MatrixCycles, ...]
    head: MatrixCycles | None
    capacity: int

    def _sum(self, name: str) -> int:
        layer = sum(int(getattr(one, name)) for one in self.matrices)
        return self.layers * layer + (int(getattr(self.head, name)) if self.head else 0)

    @property
    def layer_cycles(self) -> int:
        """Cycles of a layer's matrices."""
        return sum(one.cycles for one in self.matrices)

    @property
    def cycles(self) -> int:
        """Cycles of all matrices of the model."""
        return self._sum("cycles")

    @property
    def operations(self) -> int:
        """Ternary operations of the model."""
        return self._sum("operations")

    @property
    def weight_bytes(self) -> int:
        """Bytes of the model through the weight port."""
        return self._sum("weight_bytes")

    @property
    def utilisation(self) -> float:
        """Share of the lanes' operations that was asked for."""
        return self.operations / (self.cycles * self.capacity)

    def tokens_per_second(self, clock_mhz: float) -> float:
        """Return the rate of the array alone at a clock, its weight port always served."""
        return self.tokens * clock_mhz * 1e6 / self.cycles

    def memory_tokens_per_second(self, clock_mhz: float, bytes_per_second: float) -> float:
        """Return the rate where the weights come at a rate of their own, and all else overlaps."""
        seconds = max(self.cycles / (clock_mhz * 1e6), self.weight_bytes / bytes_per_second)
        return self.tokens / seconds

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            "phase": self.phase,
            "tokens": self.tokens,
            "layers": self.layers,
            "layer_cycles": self.layer_cycles,
            "cycles": self.cycles,
            "operations": self.operations,
            "weight_bytes": self.weight_bytes,
            "utilisation": self.utilisation,
            "matrices": [one.to_dict() for one in self.matrices],
            "lm_head": None if self.head is None else self.head.to_dict(),
        }


def stores(config: AcceleratorConfig) -> StoreSizes | None:
    """Return the stores of a configuration that keeps its weights on the chip; None of one that streams them."""
    return StoreSizes.of(config) if config.weight_store == "bram" else None


def pieces(config: AcceleratorConfig, m: int, k: int) -> list[Piece] | None:
    """Cut a matrix into what runs at once; None where the core takes it whole."""
    sizes = stores(config)
    if sizes is not None:
        limits = StoreLimits(weights=sizes.weights, activations=sizes.activations, results=sizes.results)
        return cut_matrix(config, limits, m, k)
    if not misfits(config, {"": (m, k)}):
        return None
    return cut_matrix(
        config, StoreLimits(weights=_UNBOUNDED, activations=_UNBOUNDED, results=_UNBOUNDED), m, k
    )


@lru_cache(maxsize=4096)
def _jobs(config: AcceleratorConfig, m: int, k: int, tokens: int) -> tuple[JobCycles, ...]:
    """Return what a product costs, an entry for each span of cycles of its own, with the number of its jobs."""
    cut = pieces(config, m, k)
    if cut is None:
        return tuple(product_cycles(config, m, k, tokens))
    alike = Counter((piece.m, piece.k, piece.tokens) for piece in cut)
    spans: list[JobCycles] = []
    for (rows, inputs, most), count in alike.items():
        for start in range(0, tokens, most):
            spans += [job_cycles(config, rows, inputs, min(most, tokens - start))] * count
    return tuple(spans)


def _matrix(
    config: AcceleratorConfig, name: str, m: int, k: int, products: Sequence[tuple[int, int]]
) -> MatrixCycles:
    """Sum products of a matrix, given as pairs of tokens and how many there are."""
    spans = [(span, count) for tokens, count in products for span in _jobs(config, m, k, tokens)]

    def total(name: str) -> int:
        return sum(int(getattr(span, name)) * count for span, count in spans)

    needs = {
        need: sum(span.needs[need] * count for span, count in spans)
        for need in ("compute", "weights", "activations", "output")
    }
    return MatrixCycles(
        name=name,
        m=m,
        k=k,
        copies=sum(count for _, count in products),
        jobs=sum(len(getattr(span, "jobs", (span,))) * count for span, count in spans),
        cycles=total("total"),
        issued=total("issued"),
        stalls={cause: sum(span.stalls[cause] * count for span, count in spans) for cause in CAUSES},
        operations=total("operations"),
        weight_bytes=total("weight_beats") * config.weight_port_bits // 8,
        bound=max(needs, key=needs.__getitem__),
        capacity=config.lanes * config.rows,
    )


def phase_cycles(subject: Subject, phase: str) -> PhaseCycles:
    """Return the cycles of a block of a prefill, or of a token that is decoded.

    Raises
    ------
    InputError
        A store that does not hold the smallest piece of a matrix.
    """
    config, shape = subject.config, subject.shape
    tokens = 1 if phase == "decode" else subject.block
    matrices = []
    for linear in shape.linears:
        meetings = tokens * linear.active
        met = min(linear.resident, meetings)
        each, more = divmod(meetings, met)
        products = [(each + 1, more), (each, met - more)] if more else [(each, met)]
        matrices.append(_matrix(config, linear.name, linear.outputs, linear.inputs, products))
    head = None
    if shape.lm_head_ternary and shape.vocab_size is not None and phase == "decode":
        head = _matrix(config, "lm_head", shape.vocab_size, shape.hidden_size, [(1, 1)])
    return PhaseCycles(
        phase=phase,
        tokens=tokens,
        layers=shape.num_hidden_layers,
        matrices=tuple(matrices),
        head=head,
        capacity=config.lanes * config.rows,
    )


def notes(subject: Subject) -> list[str]:
    """Say what the cycles leave out or assume for this model and accelerator."""
    shape, config = subject.shape, subject.config
    found = []
    sizes = stores(config)
    whole = {linear.name: (linear.outputs, linear.inputs) for linear in shape.linears}
    if sizes is not None:
        most = max(len(pieces(config, *each) or ()) for each in whole.values())
        split = (
            f"a matrix runs in up to {most:,} pieces, and the host adds the sums of those along K"
            if most > 1
            else "every matrix fits"
        )
        found.append(
            f"Weights lie on the chip, {sizes.weights:,} bytes of them at a time: {split}. Cycles are those of "
            "the jobs; filling the store is not in them."
        )
    else:
        found += [
            f"{line}. Here it runs in pieces, whose sums the host adds." for line in misfits(config, whole)
        ]
    if shape.num_local_experts > 1:
        found.append(
            f"{shape.num_local_experts} experts, {shape.num_experts_per_tok} for each token: a block meets "
            "them evenly, each with its share of the tokens."
        )
    if shape.weights != "ternary":
        found.append(f"The model's weights are {shape.weights}; cycles are those of ternary ones.")
    if shape.lm_head_ternary and shape.vocab_size is not None:
        found.append(
            "The ternary LM head is counted in decode; of a prompt, the last position alone takes it."
        )
    if config.sparse:
        found.append("Jobs are dense; the columns of a sparse job depend on the activations.")
    return found
