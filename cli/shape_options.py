"""The options that say which model a command is about: a name, a file, or the numbers of a shape."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tritforge.accel.errors import InputError
from tritforge.cli.completers import complete_shape

if TYPE_CHECKING:
    from tritforge.models.shapes import ModelShape

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SIZES = {
    "hidden_size": "Width of the residual stream.",
    "layers": "Layers.",
    "heads": "Query heads.",
    "kv_heads": "Heads of keys and values.  [default: as many as query heads]",
    "head_dim": "Width of a head.  [default: hidden size over heads]",
    "intermediate_size": "Width of the feed-forward network (of one expert).",
    "vocab_size": "Tokens of the vocabulary.",
    "experts": "Feed-forward networks in a layer.  [default: 1]",
    "active_experts": "Experts that a token passes through.  [default: 1]",
}

_OPTIONS = (
    click.option(
        "--model",
        metavar="NAME|PATH",
        shell_complete=complete_shape,
        help="A model shape (see `tritforge models`), a shipped model, a checkpoint, or a config.json "
        "or its folder.",
    ),
    *(
        click.option("--" + name.replace("_", "-"), name, type=click.IntRange(min=1), metavar="N", help=text)
        for name, text in _SIZES.items()
    ),
    click.option(
        "--gated/--no-gated", default=None, help="A gate beside the up projection.  [default: gated]"
    ),
    click.option("--tied/--untied", default=None, help="Whether the LM head is the embedding table."),
)


def shape_options(function: _Command) -> _Command:
    """Add ``--model`` and the flags of a shape to a command.

    The command takes them together as keyword arguments (``**shape``) and hands them to
    `shape_from_options`.
    """
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def shape_from_options(*, model: str | None, default: str | None = None, **flags: Any) -> "ModelShape":
    """Return the shape that the options describe.

    Parameters
    ----------
    model
        Value of ``--model``.
    default
        Model to take where neither ``--model`` nor a flag is given.
    **flags
        Values of the other options of `shape_options`.

    Raises
    ------
    InputError
        Both a model and numbers, neither of them and no default, or what cannot be resolved.
    """
    from tritforge.models.shape_flags import ShapeFlags, shape_from_flags
    from tritforge.models.shapes import resolve_shape

    numbers = ShapeFlags(**flags)
    if model is not None and numbers.given:
        raise InputError(
            f"--model {model} and {numbers.given[0]} are both given; give a model or the numbers of a shape"
        )
    if numbers.given:
        return shape_from_flags(numbers)
    if model is None and default is None:
        raise InputError("no model is given; give --model, or the numbers of a shape from --hidden-size on")
    return resolve_shape(model or default or "")
