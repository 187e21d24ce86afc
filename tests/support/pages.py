"""Pages of the documentation: their blocks of code, which tests run, the rows of their tables, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DOCS", "Block", "Page"]

DOCS: Final = Path(__file__).parents[2] / "docs"

_BLOCK: Final = re.compile(
    r"^(?:`(?P<file>[^`\n]+)`:\n\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A block of code; `file` is the name that the line before it gives it, or empty."""

    language: str
    file: str
    code: str


class Page:
    """A page in Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.blocks = [
            Block(match["language"], match["file"] or "", match["code"])
            for match in _BLOCK.finditer(self.text)
        ]

    def of(self, language: str) -> list[Block]:
        """Return the blocks in one language."""
        return [block for block in self.blocks if block.language == language]

    @property
    def commands(self) -> list[str]:
        """The lines of its console blocks."""
        return [line for block in self.of("console") for line in block.code.splitlines()]

    def write_files(self, folder: Path) -> None:
        """Write the blocks that have the name of a file."""
        for block in self.blocks:
            if block.file:
                (folder / block.file).write_text(block.code, encoding="utf-8")

    def rows(self, heading: str) -> list[list[str]]:
        """Return the rows of the first table after a heading, without its head, as Markdown."""
        lines = self.text.split(f"\n## {heading}\n")[1].splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith("|"))
        table: list[list[str]] = []
        for line in lines[start:]:
            if not line.startswith("|"):
                break
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        return table[2:]

    @property
    def links(self) -> list[str]:
        """The targets of its links."""
        return re.findall(r"\]\(([^)]+)\)", self.text)

    @property
    def anchors(self) -> set[str]:
        """What its headings are called in links."""
        headings = re.findall(r"^#+ (.*)$", self.text, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
