"""Every number of a result followed to its formula, its counts, and the row and source of each constant."""

from tritforge.accel.errors import InputError
from tritforge.energy import counts, hardware
from tritforge.energy.accounting import ComponentEnergy, EnergyResult
from tritforge.energy.report import format_joules

_SYMBOLS = {"paper": counts.SYMBOLS, "hardware": hardware.SYMBOLS, "measured": hardware.SYMBOLS}

#: Symbols of a single matrix, whose sums over all matrices the formulas give.
_OF_A_MATRIX = {
    "n, p": "inputs and outputs of a matrix",
    "rt, kt": "tiles along outputs (of R) and along inputs (of W)",
    "i": "tiles that positions meet, one a cycle: N rt kt, summed over matrices and layers",
    "jobs": "parts that a matrix is split into along its inputs",
}


def cells(result: EnergyResult) -> tuple[str, ...]:
    """Names that can be explained: parts, and operations of parts."""
    return (*result.parts, *(entry.name for entry in result.components))


def explain(result: EnergyResult, cell: str) -> list[str]:
    """Explain a part, an operation of a part, or everything.

    Parameters
    ----------
    result
        Of any accounting.
    cell
        ``all``, a part such as ``matrices``, or one operation of it such as ``matrices/int9.add``.

    Returns
    -------
    list of str
        Lines: what the result is, the numbers behind the symbols, and for every count its formulas, its row
        with its source, and its energy.

    Raises
    ------
    InputError
        The result has no such cell.
    """
    chosen = [entry for entry in result.components if cell in {"all", entry.component, entry.name}]
    if not chosen:
        raise InputError(
            f"{cell!r} is no cell of the {result.accounting} accounting with {result.arithmetic} matrices; "
            f"it has all, {', '.join(result.parts)}, and PART/OPERATION"
        )
    what = f"{result.phase} of {result.context} tokens, batch {result.batch}, at {result.node}"
    lines = [
        f"{result.model}, {result.arithmetic} matrices: {what}, {result.accounting} accounting",
        "symbols:",
    ]
    meanings = _SYMBOLS[result.accounting]
    lines += [f"  {symbol} = {value:,}: {meanings[symbol]}" for symbol, value in result.symbols.items()]
    if result.accounting != "paper":
        lines += [f"  {symbol}: {meaning}" for symbol, meaning in _OF_A_MATRIX.items()]
    else:
        lines += [f"  {symbol}: {meanings[symbol]}" for symbol in ("n", "p")]
    for entry in chosen:
        lines += _entry(entry)
    if len(chosen) > 1:
        total = result.energy if cell == "all" else result.part(cell)
        lines.append(f"total of {cell}: {format_joules(total)}")
    return lines


def _entry(entry: ComponentEnergy) -> list[str]:
    row = entry.row
    lines = [f"{entry.name}:"]
    lines += [f"  {formula} = {count:,}" for formula, count in entry.terms]
    if len(entry.terms) > 1:
        lines.append(f"  together {entry.count:,} {row.counted}")
    lines.append(f"  row {row.citation} [{row.status}]")
    if row.note and row.obtained != "derived":
        lines.append(f"  note: {row.note}")
    lines.append(
        f"  {entry.count:,} {row.counted} x {row.joules.value:.6g} J = {format_joules(entry.energy)}"
    )
    return lines
