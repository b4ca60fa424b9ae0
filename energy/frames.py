"""Results as tables of pandas, one row per component, result, step or figure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from tritforge.energy.accounting import EnergyResult
from tritforge.energy.baselines import ARITHMETICS
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.published import Comparison
from tritforge.energy.scenario import PHASES, Scenario
from tritforge.energy.steps import GROUPS, Step, group
from tritforge.energy.technology import Technology
from tritforge.models.shapes import ModelShape

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
                    "unit": entry.row.counted,
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
        ``context``, ``batch``, ``energy_j``, ``low_j``, ``high_j``, ``joules_per_token`` and
        ``tokens_per_joule``.
    """
    return pd.DataFrame(
        [
            {key: getattr(result, key) for key in _RESULT}
            | {"energy_j": energy.value, "low_j": energy.low, "high_j": energy.high}
            | {
                "joules_per_token": result.per_token.value,
                "tokens_per_joule": result.tokens / energy.value if energy.value else float("inf"),
            }
            for result in results
            for energy in (result.energy,)
        ]
    )


def sweep_frame(
    shapes: Iterable[ModelShape],
    contexts: Sequence[int],
    *,
    scenario: Scenario | None = None,
    phases: Sequence[str] = PHASES,
    arithmetics: Sequence[str] = ARITHMETICS,
    node: str = "7nm",
    technology: Technology | None = None,
) -> pd.DataFrame:
    """Tabulate totals under the ``hardware`` accounting over shapes, phases and contexts.

    Parameters
    ----------
    shapes, contexts, phases, arithmetics
        What is swept over, in this order.
    scenario
        All else; the default one unless given.
    node, technology
        Node, and table of rows.

    Returns
    -------
    DataFrame
        As of `totals_frame`.
    """
    base = scenario or Scenario()
    return totals_frame(
        hardware_energy(
            shape,
            replace(base, phase=phase, context=context),
            arithmetic=arithmetic,
            node=node,
            technology=technology,
        )
        for shape in shapes
        for phase in phases
        for context in contexts
        for arithmetic in arithmetics
    )


def groups_frame(results: Iterable[EnergyResult]) -> pd.DataFrame:
    """Tabulate results by the groups of `tritforge.energy.steps.GROUPS`.

    Returns
    -------
    DataFrame
        One row per result and group, with the columns of a result, ``group``, ``energy_j``, ``low_j``,
        ``high_j`` and ``share``.
    """
    rows = []
    for result in results:
        total = result.energy.value
        for name in GROUPS:
            energy = group(result, name)
            rows.append(
                {key: getattr(result, key) for key in _RESULT}
                | {"group": name, "energy_j": energy.value, "low_j": energy.low, "high_j": energy.high}
                | {"share": energy.value / total if total else 0.0}
            )
    return pd.DataFrame(rows)


def steps_frame(steps: Iterable[Step]) -> pd.DataFrame:
    """Tabulate the steps from the ratio of operations to that of systems.

    Returns
    -------
    DataFrame
        One row per step, with columns ``name``, ``ternary_j``, ``fp16_j``, ``ratio``, ``low`` and ``high``.
    """
    return pd.DataFrame([step.to_dict() for step in steps])


def figures_frame(comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """Tabulate published figures beside their computed values.

    Returns
    -------
    DataFrame
        One row per figure, with columns ``paper``, ``figure``, ``row``, ``unit``, ``published``,
        ``computed``, ``relative_error``, ``verdict`` and ``source``.
    """
    return pd.DataFrame([comparison.to_dict() for comparison in comparisons])
