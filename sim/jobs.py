"""Jobs of the accelerator: how a product of any shape becomes jobs that it runs."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job.

    Attributes
    ----------
    m, k, tokens
        Shape.
    accumulate
        Whether the sums are added to partial sums that the job is given.
    nonzero : ndarray of bool, shape (K,), or None
        Which activations of the one token are not zero, for a sparse job.
    """

    m: int
    k: int
    tokens: int
    accumulate: bool = False
    nonzero: npt.NDArray[np.bool_] | None = field(default=None, compare=False)

    @property
    def sparse(self) -> bool:
        """Whether the job reads the columns of its non-zero activations only."""
        return self.nonzero is not None

    @property
    def flags(self) -> int:
        """The job's byte of flags."""
        return int(self.accumulate) | int(self.sparse) << 1

    @property
    def operations(self) -> int:
        """Ternary operations that the job asks for."""
        return self.m * self.k * self.tokens


def token_slices(config: AcceleratorConfig, tokens: int) -> list[slice]:
    """Cut tokens into what one pass over the weights serves."""
    return [
        slice(start, min(start + config.tokens_max, tokens)) for start in range(0, tokens, config.tokens_max)
    ]


def split_product(config: AcceleratorConfig, m: int, k: int, tokens: int) -> list[list[Job]]:
    """Return the jobs of a product, one list for each slice of K.

    The jobs of a list run back to back; those of all lists but the first add to the words of the list before.

    Raises
    ------
    InputError
        A dimension out of the configuration's bounds.
    """
    batches = []
    for index, part in enumerate(config.k_slices(k)):
        batch = []
        for some in token_slices(config, tokens):
            config.check_job(m, part.stop - part.start, some.stop - some.start)
            batch.append(
                Job(m=m, k=part.stop - part.start, tokens=some.stop - some.start, accumulate=index > 0)
            )
        batches.append(batch)
    return batches
