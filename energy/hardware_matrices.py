"""Which matrices of a model run on the array: how many of a shape, on how many positions, from memory how often."""

from dataclasses import dataclass

from tritforge.energy.hardware_array import Datapath, Tally, count_matrix
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import ModelShape


@dataclass(frozen=True, kw_only=True)
class MatrixRun:
    """Matrices of one shape on the array.

    Attributes
    ----------
    inputs, outputs
        Shape.
    tokens
        Positions that pass through one of them.
    loads
        Times that one comes from memory.
    copies
        Matrices.
    positions, experts, active
        Positions of the step, matrices among which they choose, and how many each of them passes through.
    names
        Components of the arithmetic and of the weights.
    """

    inputs: int
    outputs: int
    tokens: int
    loads: int
    copies: int
    positions: int
    experts: int = 1
    active: int = 1
    names: tuple[str, str] = ("matrices", "weights")

    def count(self, tally: Tally, scenario: Scenario, rows: Datapath, memory: str) -> None:
        """Count what the array does for them."""
        count_matrix(
            tally,
            scenario,
            rows,
            memory,
            shape=(self.inputs, self.outputs),
            tokens=self.tokens,
            loads=self.loads,
            copies=self.copies,
            names=self.names,
        )

    def groups(self, tokens_max: int) -> dict[int, int]:
        """Return how often a number of positions pass through one copy together, by that number.

        A block of t positions meets ``min(E, t k)`` of E experts, as evenly as can be.
        """
        found: dict[int, int] = {}
        whole, rest = divmod(self.positions, tokens_max)
        for block, times in ((tokens_max, whole), (rest, 1)):
            if block and times:
                met = min(self.experts, block * self.active)
                each, more = divmod(block * self.active, met)
                for tokens, experts in ((each + 1, more), (each, met - more)):
                    if experts:
                        found[tokens] = found.get(tokens, 0) + times * experts
        return found


def layer_matrices(shape: ModelShape, scenario: Scenario) -> list[MatrixRun]:
    """Return the matrices of all layers; of the accelerator, they depend on ``tokens_max`` alone."""
    loads = expert_loads(shape, scenario)
    # Matrices of one shape are counted together.
    alike: dict[tuple[int, int, bool], int] = {}
    for linear in shape.linears:
        key = (linear.inputs, linear.outputs, linear.name.startswith("mlp"))
        alike[key] = alike.get(key, 0) + 1
    return [
        MatrixRun(
            inputs=n,
            outputs=p,
            tokens=scenario.tokens * (shape.num_experts_per_tok if forward else 1),
            loads=loads if forward else scenario.blocks,
            copies=copies * shape.num_hidden_layers,
            positions=scenario.tokens,
            experts=shape.num_local_experts if forward else 1,
            active=shape.num_experts_per_tok if forward else 1,
        )
        for (n, p, forward), copies in alike.items()
    ]


def head_matrix(shape: ModelShape, scenario: Scenario) -> MatrixRun | None:
    """Return the LM head where it runs on the array: a ternary one."""
    if not shape.lm_head_ternary or shape.vocab_size is None:
        return None
    return MatrixRun(
        inputs=shape.hidden_size,
        outputs=shape.vocab_size,
        tokens=scenario.logit_positions,
        loads=-(-scenario.logit_positions // scenario.config.tokens_max),
        copies=1,
        positions=scenario.logit_positions,
        names=("lm_head", "lm_head_weights"),
    )


def expert_loads(shape: ModelShape, scenario: Scenario) -> int:
    """Count how often a feed-forward network comes from memory in one layer, over all blocks and experts."""
    experts, active = shape.num_local_experts, shape.num_experts_per_tok
    whole, rest = divmod(scenario.tokens, scenario.config.tokens_max)
    return whole * min(experts, scenario.config.tokens_max * active) + min(experts, rest * active)
