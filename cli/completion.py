"""`tritforge completion`: the script with which a shell completes what is typed."""

import click

from tritforge.cli.common import examples

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog=examples(
        "tritforge completion bash",
        "tritforge completion zsh",
        "tritforge completion fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print the script with which a shell completes commands, options, presets, boards and models.

    For this shell alone: `eval "$(tritforge completion bash)"`, the same with zsh, or
    `tritforge completion fish | source`. A line in ~/.bashrc or ~/.zshrc makes it permanent; fish reads
    ~/.config/fish/completions/tritforge.fish. Bash must be 4.4 or newer.
    """
    from click.shell_completion import get_completion_class

    from tritforge.cli.main import COMPLETE_VARIABLE, cli

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - Click has one for each of SHELLS
    # Without the look at the shell that is installed here: the script may be for another machine.
    script = kind(cli, {}, "tritforge", COMPLETE_VARIABLE)
    click.echo(script.source_template % script.source_vars(), nl=False)
    return 0
