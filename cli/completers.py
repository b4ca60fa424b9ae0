"""What a shell offers for a value that is a name: presets, models, shapes, devices; and files where none fits.

Each is called with what has been typed so far, when a user presses Tab; so it reads names alone.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _offering(
    names: Callable[[], Iterable[str]], *, files: bool = True
) -> "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]":
    """Return what offers the names that begin as what was typed, or else files."""

    def offer(_context: click.Context, _parameter: click.Parameter, typed: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name) for name in names() if name.casefold().startswith(typed.casefold())]
        return found or ([CompletionItem(typed, type="file")] if files else [])

    return offer


def _presets() -> Iterable[str]:
    from tritforge.accel.presets import PRESETS

    return PRESETS


def _models() -> Iterable[str]:
    from tritforge.models.library import names

    return names()


def _shapes() -> Iterable[str]:
    """Full names, and those without their owner where that was not typed; shells part words at spaces."""
    from tritforge.models.shapes import ALIASES, all_shapes

    full = list(all_shapes())
    short = (name.rpartition("/")[2] for name in full if "/" in name)
    return [name for name in (*_models(), *ALIASES, *short, *full) if " " not in name]


def _devices() -> Iterable[str]:
    from tritforge.energy.devices import all_devices

    return all_devices()


def _target_devices() -> Iterable[str]:
    from tritforge.explore.devices import all_target_devices

    return [*all_target_devices(), "all"]


complete_config = _offering(_presets)
complete_model = _offering(_models)
complete_shape = _offering(_shapes)
complete_device = _offering(_devices, files=False)
complete_target_device = _offering(_target_devices, files=False)
