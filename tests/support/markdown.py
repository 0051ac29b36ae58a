"""Reading Markdown: its links, code and headings, with line numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token


@dataclass(frozen=True)
class Fence:
    """A block of code: its language, its text, its first line."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Inline:
    """A piece of inline code or the target of a link, with the line of its paragraph."""

    text: str
    line: int


class Document:
    """A Markdown text, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = MarkdownIt("commonmark").enable("table").parse(text)

    def fences(self) -> list[Fence]:
        """Return every fenced block."""
        return [
            Fence(token.info.strip(), token.content, _line(token) + 1)
            for token in self.tokens
            if token.type == "fence"
        ]

    def code(self) -> list[Inline]:
        """Return every piece of inline code."""
        return [
            Inline(child.content, line)
            for child, line in self._inline()
            if child.type == "code_inline"
        ]

    def links(self) -> list[Inline]:
        """Return the target of every link and picture."""
        return [
            Inline(str(target), line)
            for child, line in self._inline()
            if (target := child.attrGet("href") or child.attrGet("src"))
        ]

    def headings(self) -> list[str]:
        """Return the text of every heading, as a reader sees it."""
        return [
            _plain(following)
            for token, following in zip(self.tokens, self.tokens[1:], strict=False)
            if token.type == "heading_open"
        ]

    def levels(self) -> list[tuple[int, str]]:
        """Return the level of every heading, 1 for the title, and its text."""
        return [
            (int(token.tag[1:]), _plain(following))
            for token, following in zip(self.tokens, self.tokens[1:], strict=False)
            if token.type == "heading_open"
        ]

    def paragraphs(self) -> list[str]:
        """Return the text of every paragraph that is not part of a list or a quotation."""
        return [
            _plain(following)
            for token, following in zip(self.tokens, self.tokens[1:], strict=False)
            if token.type == "paragraph_open" and token.level == 0
        ]

    def anchors(self) -> set[str]:
        """Return the anchors that code hosts give the headings."""
        return {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in self.headings()
        }

    def tables(self) -> list[list[list[str]]]:
        """Return every table as rows of cells, in Markdown, the head first."""
        tables: list[list[list[str]]] = []
        for token, following in zip(self.tokens, self.tokens[1:], strict=False):
            if token.type == "table_open":
                tables.append([])
            elif token.type == "tr_open":
                tables[-1].append([])
            elif token.type in ("th_open", "td_open"):
                tables[-1][-1].append(following.content)
        return tables

    def _inline(self) -> Iterator[tuple[Token, int]]:
        for token in self.tokens:
            for child in token.children or []:
                yield child, _line(token)


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _plain(token: Token) -> str:
    return "".join(
        child.content
        for child in token.children or []
        if child.type in ("text", "code_inline", "text_special")
    )
