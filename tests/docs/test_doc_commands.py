"""What finds the commands of a page, and what compares printed lines with shown ones."""

from pathlib import Path

import doc_commands
import pytest
from doc_commands import Command, commands, missing_lines, python_blocks

PAGE = """# Title

Type `tritforge energy --model NAME`; the command `verilog` needs nothing, and `tritforge.sim` is a module.

| do | type |
|---|---|
| count | `tritforge bench array --quick` |

    make demo        # all of it
    python -m module --one \\
        --two
    tritforge: what a program printed

```console
$ tritforge models trilm
one  line
...
$ tritforge reproduce
```

```python
value = 1
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(doc_commands, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_commands_of_sentences_tables_and_blocks_are_found(page: Path) -> None:
    found = commands(page)
    assert [(one.line, one.text, one.inline) for one in found] == [
        (3, "tritforge energy --model NAME", True),
        (7, "tritforge bench array --quick", True),
        (9, "make demo", False),
        (10, "python -m module --one --two", False),
        (15, "tritforge models trilm", False),
        (18, "tritforge reproduce", False),
    ]
    assert found[4].output == ("one  line", "...")
    assert found[5].output == ()


def test_python_is_found_with_its_line(page: Path) -> None:
    assert python_blocks(page) == [(22, "value = 1\n")]


def test_words_are_those_of_a_shell() -> None:
    command = Command(page="page.md", line=1, text='tritforge generate --prompt "She was "')
    assert command.words == ["tritforge", "generate", "--prompt", "She was "]


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (["a  1", "b"], []),  # spaces do not count
        (["b"], []),  # the first may come anywhere
        (["a 1", "c"], ["c"]),  # b is between them
        (["a 1", "...", "c"], []),
        (["b", "c"], []),  # progress between them does not count
        (["c", "a 1"], ["a 1"]),  # the order counts
        (["a 2"], ["a 2"]),
        (["x 7 cycles; simulated at 9 cycles/s"], []),
    ],
)
def test_lines_that_are_shown_must_be_printed(shown: list[str], missing: list[str]) -> None:
    printed = "a 1\n\n b\nsimulating\nc\nx 7 cycles; simulated at 402,509 cycles/s\n"
    assert missing_lines(shown, printed) == missing
