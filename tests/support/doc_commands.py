"""Commands that the Markdown pages of the repository tell a reader to type, and what they say will be printed."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
#: First words of a line of code that make it a command.
PROGRAMS = ("tritforge", "python", "make", "pip", "apt-get", "iverilog", "vvp")
#: A line of printed output that stands for any number of lines.
ELLIPSIS = "..."
#: What differs from one machine, or from one version of the hardware, to the next.
VARYING = re.compile(
    r"simulated at [\d,]+ cycles/s|[\d,]+ with the host's [\d.]+ ms a token|sha256 [0-9a-f]+"
)

#: What commands say of their progress, on standard error, where it may come anywhere.
PROGRESS = {
    "comparing",
    "preparing the simulator (compiled once per configuration)",
    "reading",
    "running the golden model",
    "simulating",
    "writing",
}


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command as a page has it.

    Parameters
    ----------
    page
        Path of the page from the root of the repository.
    line
        Its line there, or that of the paragraph around it.
    text
        What to type, without the comment behind it.
    inline
        Whether it stands in a sentence or a table rather than in a block.
    output
        Lines that the page shows below it.
    """

    page: str
    line: int
    text: str
    inline: bool = False
    output: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The words that a shell makes of it."""
        return shlex.split(self.text)


def pages() -> list[Path]:
    """Return all pages for readers: the top level, the site, and every folder's README."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted({*found, ROOT / "models" / "data" / "austen" / "README.md"})


def _tokens(text: str) -> Iterator[tuple[int, Token]]:
    """Yield the tokens of a page with their line, those of a paragraph after it."""
    line = 0
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.map is not None:
            line = token.map[0] + 1
        yield line, token
        for child in token.children or ():
            yield line, child


def _is_command(text: str) -> bool:
    words = text.split(maxsplit=1)
    return len(words) > 1 and words[0] in PROGRAMS and not words[1].startswith(("=", ","))


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a block with their numbers, one that ends in a backslash with what follows it."""
    whole, start = "", 0
    for number, line in enumerate(content.splitlines()):
        whole, start = (whole + line.strip(), start) if whole else (line, number)
        if not whole.endswith("\\"):
            yield start, whole
            whole = ""
        else:
            whole = whole[:-1]


def _without_comment(text: str) -> str:
    """Return a command without what stands behind a number sign."""
    return re.sub(r"\s+#.*$", "", text).strip()


def _of_block(page: str, first: int, token: Token) -> Iterator[Command]:
    lines = list(_lines(token.content))
    prompted = any(line.startswith("$ ") for _, line in lines)
    at: int | None = None
    text = ""
    output: list[str] = []
    for number, line in lines:
        if line.startswith("$ ") if prompted else _is_command(line.strip()):
            if at is not None:
                yield Command(page=page, line=at, text=text, output=tuple(output))
            at, text, output = first + number, _without_comment(line.removeprefix("$ ")), []
        elif prompted:
            output.append(line)
    if at is not None:
        yield Command(page=page, line=at, text=text, output=tuple(output))


def commands(path: Path) -> list[Command]:
    """Return the commands of a page, in its order."""
    page = path.relative_to(ROOT).as_posix()
    found: list[Command] = []
    for line, token in _tokens(path.read_text()):
        if token.type in {"fence", "code_block"}:
            found += _of_block(page, line + (token.type == "fence"), token)
        elif token.type == "code_inline" and _is_command(token.content):
            found.append(Command(page=page, line=line, text=token.content.strip(), inline=True))
    return found


def help_commands() -> list[Command]:
    """Return the examples that end the help of every command; such a help counts as a page."""
    from tritforge.cli.main import cli

    return [
        Command(page=f"{context.command_path} --help", line=number, text=line)
        for context in contexts(cli)
        for number, line in enumerate(examples(context.command), start=1)
    ]


def contexts(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the contexts of a command and of all below it."""
    context = click.Context(command, parent, info_name=command.name if parent else "tritforge")
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from contexts(found, context)


def examples(command: click.Command) -> list[str]:
    """Return the lines that end a command's help below the word Examples."""
    _, _, text = (command.epilog or "").partition("Examples:\n")
    return [line.strip() for line in text.splitlines()]


def python_blocks(path: Path) -> list[tuple[int, str]]:
    """Return the Python programs of a page with their lines: fences of that language, and blocks that import."""
    found = []
    for line, token in _tokens(path.read_text()):
        if (token.type == "fence" and token.info == "python") or (
            token.type == "code_block" and re.match(r"(from|import) tritforge", token.content)
        ):
            found.append((line + (token.type == "fence"), token.content))
    return found


def _comparable(line: str) -> str:
    """Return a line without what varies and with single spaces."""
    return VARYING.sub("(varies)", " ".join(line.split()))


def missing_lines(shown: Sequence[str], printed: str) -> list[str]:
    """Return the lines that a page shows and a program did not print in this order, but for spaces and `VARYING`.

    Lines between two that are shown without `ELLIPSIS` between them may be blank only.
    """
    have = [_comparable(line) for line in printed.splitlines() if line.strip() and line not in PROGRESS]
    at, skip, missing = 0, True, []
    for line in (_comparable(line) for line in shown if line.strip()):
        if line == ELLIPSIS:
            skip = True
            continue
        found = next((place for place in range(at, len(have)) if have[place] == line), None)
        if found is None or (found > at and not skip):
            missing.append(line)
        else:
            at = found + 1
        skip = False
    return missing
