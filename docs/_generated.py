"""Pages of the site that are made when it is built, so that none can fall behind its source.

MkDocs calls the functions whose names begin with ``on_``. They add the help of every command, a page for each module
with its docstrings, each folder's README as the index of its modules, the notebooks as they are stored, the changelog
and the notes for contributors.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tritforge.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
#: Folders whose modules are for users of the library; the command line has a page of its own.
FOLDERS = ("accel", "models", "sim", "energy", "rtl", "explore", "report")
#: Files of the repository that are pages as they are: path, page.
COPIED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
#: Width of the help texts, in characters.
HELP_COLUMNS = 92


def modules(folder: str) -> list[str]:
    """Return the public modules of a folder and of the packages in it, such as ``gates.netlist``."""
    paths = (path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.py"))
    return sorted(".".join(path.with_suffix("").parts) for path in paths if not path.stem.startswith("_"))


def module_page(folder: str, module: str) -> str:
    """Return the page of one module; its contents come from the docstrings."""
    return f"# {module}\n\n`tritforge.{folder}.{module}`\n\n::: tritforge.{folder}.{module}\n"


def packages(folder: str) -> list[str]:
    """Return the packages within a folder that have a README."""
    return sorted(
        path.parent.name for path in (ROOT / folder).glob("*/README.md") if path.parent.name != "data"
    )


def readme_page(folder: str, package: str = "") -> str:
    """Return the README of a folder, or of a package in it, with its modules linked to their pages."""
    known = set(modules(folder))

    def link(match: re.Match[str]) -> str:
        module = ".".join([*([package] if package else []), *match[1].split("/")])
        return f"[{match[0]}]({module}.md)" if module in known else match[0]

    text = (ROOT / folder / package / "README.md").read_text()
    return re.sub(r"\]\((\w+)/README\.md\)", r"](\1.md)", re.sub(r"`([\w/]+)\.py`", link, text))


def commands(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command and of all below it."""
    context = click.Context(
        command, parent, name, terminal_width=HELP_COLUMNS, help_option_names=["-h", "--help"]
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None  # noqa: S101 - it was listed
            yield from commands(found, context, below)


def commands_page() -> str:
    """Return the help of every command as one page."""
    intro = "# The command line\n\nWhat `--help` says at every level, taken from the program as this site is built.\n"
    sections = [f"## {path}\n\n```text\n{text}\n```\n" for path, text in commands(cli, None, "tritforge")]
    return "\n".join([intro, *sections])


def notebooks() -> list[Path]:
    """Return the notebooks' files, in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as a page, and its pictures by name; links into the site's folder become links on it."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source.replace("](../docs/", "](../"))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{len(pictures) + 1}.png"
                pictures[name] = b64decode("".join(data["image/png"]))
                parts.append(f"![{cell['metadata']['alt']}]({name})")
            elif "text/html" in data:
                # A table of the site's own style, without that which pandas brings.
                table = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
                parts.append(re.sub(r' (?:border="1" class="dataframe"|style="[^"]*")', "", table))
            else:
                parts.append(f"```text\n{''.join(output.get('text') or data['text/plain'])}\n```")
    return "\n\n".join(parts) + "\n", pictures


def notebook_pages() -> dict[str, str | bytes]:
    """Return the index of the notebooks, each of them, and their pictures, by path."""
    index = (ROOT / "notebooks" / "README.md").read_text().replace(".ipynb)", ".md)")
    made: dict[str, str | bytes] = {"notebooks/index.md": index}
    for path in notebooks():
        page, pictures = notebook_page(path)
        made[f"notebooks/{path.stem}.md"] = page
        made |= {f"notebooks/{name}": content for name, content in pictures.items()}
    return made


def pages() -> dict[str, str | bytes]:
    """Return all generated pages, and pictures on them, by their path in the site's sources."""
    made: dict[str, str | bytes] = {"commands.md": commands_page(), **notebook_pages()}
    made |= {page: (ROOT / path).read_text() for path, page in COPIED.items()}
    for folder in FOLDERS:
        made[f"api/{folder}/index.md"] = readme_page(folder)
        made |= {f"api/{folder}/{package}.md": readme_page(folder, package) for package in packages(folder)}
        made |= {f"api/{folder}/{module}.md": module_page(folder, module) for module in modules(folder)}
    return made


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the generated pages to the navigation that mkdocs.yml states."""
    listed: list[dict[str, list[str]]] = []
    sections: dict[str, list[Any]] = {
        next(iter(entry)): entry[next(iter(entry))] for entry in config.nav or [] if isinstance(entry, dict)
    }
    sections["Reference"].insert(0, {"Command line": "commands.md"})
    sections["Notebooks"] += [f"notebooks/{path.stem}.md" for path in notebooks()]
    sections["Contributing"] += [{"How to contribute": "contributing.md"}, {"Changes": "changelog.md"}]
    for folder in FOLDERS:
        names = ["index", *packages(folder), *modules(folder)]
        listed.append({folder: [f"api/{folder}/{name}.md" for name in names]})
    assert config.nav is not None  # noqa: S101 - mkdocs.yml has one
    config.nav.append({"Modules": listed})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those that lie in the folder."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files
