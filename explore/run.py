"""A sweep from its request to its table, chunk by chunk on an executor; one that was stopped goes on."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tritforge.accel.errors import InputError
from tritforge.accel.parallel import as_done
from tritforge.explore.objectives import Request, evaluate_chunk
from tritforge.explore.store import Store, pack_piece

#: Called with what is done now, and how many chunks more are done.
Step = Callable[[str, int], None]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep that is done.

    Attributes
    ----------
    request
        What was asked for.
    table
        A row for each point that is an accelerator, by number.
    skipped
        Number of the others by reason, the most frequent first.
    computed
        Chunks that were computed now; the others were there.
    """

    request: Request
    table: pa.Table
    skipped: dict[str, int]
    computed: int

    @property
    def frame(self) -> pd.DataFrame:
        """The table for pandas."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


def make_piece(request: Request, index: int, key: str) -> bytes:
    """Compute a chunk and return its piece; what runs on the executor."""
    rows, skipped = evaluate_chunk(request, index)
    return pack_piece(rows, skipped, key)


def sweep(request: Request, folder: Path, executor: Executor, *, step: Step | None = None) -> Sweep:
    """Compute what a folder lacks of a sweep, and return all of it.

    The table does not depend on the executor, on the order in which chunks are done, nor on how often it was stopped.

    Parameters
    ----------
    request
        Points and what they are judged under.
    folder
        Keeps a piece for each chunk.
    executor
        Runs `make_piece`.
    step
        Hears what is done.

    Raises
    ------
    InputError
        The folder cannot be written or holds another sweep, a node or memory that is not known, or no combination is
        an accelerator.
    """
    say = step or (lambda _description, _advance: None)
    store = Store(folder, request)
    missing = store.missing()
    there = store.chunks - len(missing)
    label = f"{len(request.space):,} points" + (
        f", {there} of {store.chunks} chunks are there" if there else ""
    )
    say(label, 0)
    if there:
        say(label, there)
    arguments = [(request, index, store.key) for index in missing]
    for place, piece in as_done(executor, make_piece, arguments):
        store.put(missing[place], piece)
        say(label, 1)
    tables, skipped = [], Counter[str]()
    for table, left_out in store.pieces():
        tables += [table.replace_schema_metadata(None)] if table.num_rows else []
        skipped.update(left_out)
    if not tables:
        reason, count = skipped.most_common(1)[0]
        if len(request.space) == 1:
            raise InputError(f"the combination is no accelerator: {reason}")
        raise InputError(
            f"none of the {len(request.space):,} combinations is an accelerator; of {count:,}: {reason}"
        )
    return Sweep(
        request=request,
        table=pa.concat_tables(tables),
        skipped=dict(skipped.most_common()),
        computed=len(missing),
    )
