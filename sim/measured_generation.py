"""Generation on an accelerator, measured: cycles and host time of every token, and the comparison with the golden."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.models.checkpoint import Checkpoint
from tritforge.sim.accelerator import Accelerator, AcceleratorProduct, Usage, open_accelerator
from tritforge.sim.decoder import Decoder
from tritforge.sim.generate import Step, generate


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to write.

    Attributes
    ----------
    prompt : tuple of int
        Token ids, one or more.
    count
        Tokens to make.
    seed, temperature, top_k
        As of `tritforge.sim.generate.generate`.
    """

    prompt: tuple[int, ...]
    count: int
    seed: int = 0
    temperature: float = 0.0
    top_k: int | None = None

    def run(self, decoder: Decoder) -> Iterator[Step]:
        """Generate on a decoder."""
        return generate(
            decoder,
            np.array(self.prompt, dtype=np.int64),
            self.count,
            seed=self.seed,
            temperature=self.temperature,
            top_k=self.top_k,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredStep:
    """A token and what it took.

    Attributes
    ----------
    step
        Token and logits.
    usage
        What the accelerator did for it; the first one's includes the prompt.
    host_seconds
        Time that everything but the ternary products took on this machine.
    product_seconds
        Time of the ternary products: of the simulator, on the back end ``rtl``.
    """

    step: Step
    usage: Usage
    host_seconds: float
    product_seconds: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place where a generation differs from the golden one.

    Attributes
    ----------
    position
        Number of the new token, from 0.
    what
        ``token``, ``logits`` or ``cycles``.
    expected, got
        The golden model's value and the other; of logits, those of the first entry that differs.
    """

    position: int
    what: str
    expected: float
    got: float


class _TimedProduct:
    """A ternary product that counts its own time."""

    def __init__(self, product: AcceleratorProduct) -> None:
        self.seconds = 0.0
        self._product = product

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        start = perf_counter()
        words = self._product(name, codes_x)
        self.seconds += perf_counter() - start
        return words


@dataclass(kw_only=True, eq=False)
class MeasuredGeneration:
    """A generation on an accelerator; iterate over it for the tokens, then ask for its figures.

    Attributes
    ----------
    checkpoint, accelerator, request
        What runs, on what, and what is asked for.
    steps
        The tokens made so far.
    """

    checkpoint: Checkpoint
    accelerator: Accelerator
    request: Request
    steps: list[MeasuredStep] = field(default_factory=list, init=False)

    def __iter__(self) -> Iterator[MeasuredStep]:
        """Make the tokens, from the first.

        Raises
        ------
        InputError
            The prompt and the tokens do not fit the model, or a matrix does not fit the accelerator.
        SimulationError
            The hardware did not answer.
        """
        self.steps.clear()
        product = _TimedProduct(AcceleratorProduct(self.accelerator, self.checkpoint))
        decoder = Decoder(self.checkpoint, product)
        before, start = self.accelerator.usage, perf_counter()
        for step in self.request.run(decoder):
            took, used = perf_counter() - start, self.accelerator.usage
            self.steps.append(
                MeasuredStep(
                    step=step,
                    usage=used - before,
                    host_seconds=took - product.seconds,
                    product_seconds=product.seconds,
                )
            )
            yield self.steps[-1]
            product.seconds = 0.0
            before, start = self.accelerator.usage, perf_counter()

    @property
    def tokens(self) -> list[int]:
        """Ids of the new tokens."""
        return [measured.step.token for measured in self.steps]

    @property
    def decoding(self) -> list[MeasuredStep]:
        """The steps of one token each: all but the first, which reads the prompt."""
        return self.steps[1:]

    @property
    def cycles_per_token(self) -> float | None:
        """Mean cycles of a step of one token; None without such steps, or on a back end that knows no cycles."""
        return _mean([measured.usage.cycles for measured in self.decoding])

    @property
    def host_seconds_per_token(self) -> float | None:
        """Mean host time of a step of one token."""
        return _mean([measured.host_seconds for measured in self.decoding])

    def difference(self) -> Difference | None:
        """Compare with the same generation on the golden words and, where they should be equal, the model's cycles.

        Returns
        -------
        Difference or None
            The first difference; None when every token made so far, every logit (bit for bit) and every step's
            cycles are equal.
        """
        with _golden(self.accelerator) as golden:
            expected = MeasuredGeneration(
                checkpoint=self.checkpoint, accelerator=golden, request=self.request
            )
            for position, (found, wanted) in enumerate(zip(self.steps, expected, strict=False)):
                if not np.array_equal(wanted.step.logits, found.step.logits):
                    at = int(np.argmax(wanted.step.logits != found.step.logits))
                    values = float(wanted.step.logits[at]), float(found.step.logits[at])
                    return Difference(position=position, what="logits", expected=values[0], got=values[1])
                if wanted.step.token != found.step.token:
                    return Difference(
                        position=position, what="token", expected=wanted.step.token, got=found.step.token
                    )
                cycles = wanted.usage.cycles, found.usage.cycles
                if None not in cycles and cycles[0] != cycles[1]:
                    return Difference(
                        position=position, what="cycles", expected=cycles[0] or 0, got=cycles[1] or 0
                    )
        return None


def _golden(accelerator: Accelerator) -> Accelerator:
    """Return what an accelerator is compared with: it knows cycles only where those of both should be equal."""
    if accelerator.predicted_cycles:
        return open_accelerator("cycle", accelerator.config)
    # Hardware that cuts matrices into pieces has no bounds on their shape.
    unbounded = replace(accelerator.config, partial_sums=True, m_max=AcceleratorConfig().m_max)
    return open_accelerator("golden", unbounded)


def _mean(values: list[int | None] | list[float]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
