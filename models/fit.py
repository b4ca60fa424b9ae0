"""Whether an accelerator can run a model's matrices, and what to change where it cannot."""

from collections.abc import Mapping

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError


def misfits(accelerator: AcceleratorConfig, shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Say what keeps an accelerator from running matrices.

    Parameters
    ----------
    accelerator
        The configuration.
    shapes
        Outputs M and inputs K of each matrix, by name.

    Returns
    -------
    list of str
        A sentence for each bound that is passed, with the matrix that passes it furthest and what to change;
        empty where all of them run.
    """
    (widest, (_, k)) = max(shapes.items(), key=lambda item: item[1][1])
    (tallest, (m, _)) = max(shapes.items(), key=lambda item: item[1][0])
    found = []
    if m > accelerator.m_max:
        change = f"set m_max={m}" if _allowed(accelerator, m_max=m) else "no configuration has as many rows"
        found.append(f"{tallest} has M of {m}, and m_max is {accelerator.m_max}: {change}")
    if max(part.stop - part.start for part in accelerator.k_slices(k)) > accelerator.k_max:
        change = "set partial_sums=true" + (f", or k_max={k}" if _allowed(accelerator, k_max=k) else "")
        found.append(f"{widest} has K of {k}, and k_max is {accelerator.k_max}: {change}")
    return found


def _allowed(accelerator: AcceleratorConfig, **values: int) -> bool:
    """Whether a configuration may have these parameters."""
    try:
        AcceleratorConfig.from_dict(values, base=accelerator)
    except InputError:
        return False
    return True


def check_fits(accelerator: AcceleratorConfig, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse matrices that an accelerator cannot run.

    Raises
    ------
    InputError
        One does not fit; the message says what to change.
    """
    for line in misfits(accelerator, shapes):
        raise InputError(f"the accelerator cannot run the model: {line}")
