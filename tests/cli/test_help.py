"""The help of every command, at every level."""

import click
import pytest
from doc_commands import contexts, examples

from tritforge.cli.main import cli, main

COMMANDS = {context.command_path: context for context in contexts(cli)}
#: Commands whose result is text for another program, or for a person alone.
WITHOUT_JSON = {
    "tritforge completion": "a script for a shell",
}


def test_the_tree_is_whole() -> None:
    assert {"tritforge", "tritforge model convert", "tritforge bench fpga"} <= set(COMMANDS)
    assert len(COMMANDS) >= 17


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_says_what_the_command_does_and_ends_with_examples(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of this command, or of one below it; that they run is shown in `tests/docs/test_commands.py`."""
    with pytest.raises(SystemExit) as end:
        main([*path.split()[1:], "--help"])
    assert end.value.code == 0
    streams = capsys.readouterr()
    assert streams.err == ""
    lines = streams.out.rstrip().splitlines()
    assert lines[0].startswith(f"Usage: {path} ")
    assert COMMANDS[path].command.help
    shown = [line.strip() for line in lines[lines.index("  Examples:") + 1 :]]
    assert shown == examples(COMMANDS[path].command)
    assert len(shown) >= 2
    assert all(f"{line} ".startswith(f"{path} ") for line in shown)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is_for(path: str) -> None:
    command = COMMANDS[path].command
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


def test_every_command_with_a_result_writes_it_as_json() -> None:
    lacking = {
        path
        for path, context in COMMANDS.items()
        if not isinstance(context.command, click.Group)
        and not any("--json" in parameter.opts for parameter in context.command.params)
    }
    assert lacking == set(WITHOUT_JSON)
