"""JSON from files that are not trusted."""

import json
from typing import Any

from tritforge.accel.errors import InputError


def shown(name: str) -> str:
    """Return a text from a file as a message may hold it: one line of printable characters, not too long."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= 120 else f"{text[:117]}..."


def parse(content: str | bytes, *, repeated: list[str] | None = None) -> Any:
    """Parse JSON, strictly: no NaN, no infinity, no key twice.

    Parameters
    ----------
    content
        The text, or its UTF-8.
    repeated
        Takes the keys that are there twice, whose last value then counts; such keys are refused unless given.

    Raises
    ------
    InputError
        The content is not JSON, or nested too deeply; the message is the reason alone.
    """

    def merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for name, value in pairs:
            if name in document:
                if repeated is None:
                    raise ValueError(f"the key {shown(name)} is there twice")
                repeated.append(name)
            document[name] = value
        return document

    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        return json.loads(text, object_pairs_hook=merged, parse_constant=_no_constant)
    except RecursionError as error:
        raise InputError("it is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"it is not JSON: {error}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
