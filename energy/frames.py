"""Results as tables of pandas, one row per component or figure."""

from collections.abc import Iterable

import pandas as pd

from tritforge.energy.accounting import EnergyResult
from tritforge.energy.published import Comparison

_RESULT = ("model", "accounting", "arithmetic", "node", "phase", "context", "batch")


def components_frame(results: Iterable[EnergyResult]) -> pd.DataFrame:
    """Tabulate the components of results.

    Returns
    -------
    DataFrame
        One row per component and operation, with columns ``model``, ``accounting``, ``arithmetic``,
        ``node``, ``phase``, ``context``, ``batch``, ``component``, ``operation``, ``count``, ``unit``,
        ``energy_j``, ``low_j``, ``high_j``, ``share`` (of the result's energy) and ``source``.
    """
    rows = []
    for result in results:
        total = result.energy.value
        for entry in result.components:
            energy = entry.energy
            rows.append(
                {key: getattr(result, key) for key in _RESULT}
                | {
                    "component": entry.component,
                    "operation": entry.row.operation,
                    "count": entry.count,
                    "unit": "operations",
                    "energy_j": energy.value,
                    "low_j": energy.low,
                    "high_j": energy.high,
                    "share": energy.value / total if total else 0.0,
                    "source": entry.row.citation,
                }
            )
    return pd.DataFrame(rows)


def totals_frame(results: Iterable[EnergyResult]) -> pd.DataFrame:
    """Tabulate the totals of results.

    Returns
    -------
    DataFrame
        One row per result, with columns ``model``, ``accounting``, ``arithmetic``, ``node``, ``phase``,
        ``context``, ``batch``, ``energy_j``, ``low_j`` and ``high_j``.
    """
    return pd.DataFrame(
        [
            {key: getattr(result, key) for key in _RESULT}
            | {"energy_j": energy.value, "low_j": energy.low, "high_j": energy.high}
            for result in results
            for energy in (result.energy,)
        ]
    )


def figures_frame(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """Tabulate published figures beside their computed values.

    Returns
    -------
    DataFrame
        One row per figure, with columns ``paper``, ``figure``, ``row``, ``unit``, ``published``,
        ``computed``, ``relative_error``, ``verdict`` and ``source``.
    """
    return pd.DataFrame([comparison.to_dict() for comparison in comparisons])
