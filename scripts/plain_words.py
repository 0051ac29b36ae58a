"""Report how long the sentences of the documents and of the code's prose are.

It also counts phrases that a reader in a second language stumbles over. ``--check`` fails for a
document with long sentences or with such phrases. The figures help; they do not replace reading a
page aloud.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PROJECT: Final = "{{cookiecutter.project_slug}}"
AVERAGE: Final = 15
LONGEST: Final = 30

# Each phrase, and what to look for. The last one is about sentences that start with a clause.
PHRASES: Final = {
    "bear": r"\bbears?\b|\bborne\b",
    "anew": r"\banew\b",
    "of its own": r"\bof (?:its|their) own\b",
    "but for": r"\bbut for\b",
    "nobody": r"\bnobody\b",
    "whoever": r"\bwhoever\b",
    "stands": r"\bstands?\b",
    "comes of": r"\bc[ao]mes? of\b",
    "What … (as a subject)": r"(?-i:^What\b)(?!.*\?$)",
}
LISTED: Final = {name: re.compile(text, re.IGNORECASE) for name, text in PHRASES.items()}

BREAK: Final = "\0"  # replaces a tag of Jinja, where a sentence ends
JINJA: Final = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
EXPRESSION: Final = re.compile(r"\{\{.*?\}\}", re.DOTALL)
FENCE: Final = re.compile(r"^[ \t]*(```|~~~).*?^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
LINK: Final = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)")
CODE: Final = re.compile(r"(`+)(?:(?!\1).)+\1", re.DOTALL)
ITEM: Final = re.compile(r"^[ \t]*(?:[-*]|\d+\.)[ \t]+")
END: Final = re.compile(r"(?<=[.!?])[)\"”*]*\s+(?=[\"“(*]*[A-Z0-9§])|(?<=[.!?])$")
WORD: Final = re.compile(r"[^\W_][\w’'./-]*|§")
# An entry of a docstring's list of arguments or errors: ``name: what it is``.
ENTRY: Final = re.compile(r"^\s*(?:Args|Returns|Raises|Yields):\s*$|^\s+[\w, ]+: ")


@dataclass(frozen=True)
class Sentence:
    """A sentence and the line on which its paragraph starts."""

    text: str
    line: int

    @property
    def words(self) -> int:
        """How many words it has; a piece of code is one word."""
        return len(WORD.findall(self.text))

    @property
    def listed(self) -> list[str]:
        """The names of the listed phrases in it."""
        return [name for name, pattern in LISTED.items() if pattern.search(self.text)]


@dataclass
class Prose:
    """The sentences of a document, or of several files of code."""

    name: str
    sentences: list[Sentence] = field(default_factory=list)

    @property
    def average(self) -> float:
        """The average number of words in a sentence."""
        return sum(each.words for each in self.sentences) / max(len(self.sentences), 1)

    @property
    def too_long(self) -> list[Sentence]:
        """The sentences above the limit."""
        return [each for each in self.sentences if each.words > LONGEST]

    def row(self) -> str:
        """Write its figures as a row of the report."""
        longest = max((each.words for each in self.sentences), default=0)
        listed = sum(len(each.listed) for each in self.sentences)
        return (
            f"{len(self.sentences):9} {self.average:7.1f} {longest:7}"
            f" {len(self.too_long):7} {listed:6}  {self.name}"
        )

    def faults(self) -> Iterator[str]:
        """Yield what a document must not have."""
        if self.average > AVERAGE:
            yield f"{self.name}: {self.average:.1f} words a sentence; at most {AVERAGE}"
        for each in self.too_long:
            yield f"{self.name}:{each.line}: {each.words} words; at most {LONGEST}: {each.text}"
        for each in self.sentences:
            for phrase in each.listed:
                yield f"{self.name}:{each.line}: “{phrase}” is on the list: {each.text}"


def main() -> int:
    """Report or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="fail instead of reporting")
    parser.add_argument("--show", action="store_true", help="list each fault of each file too")
    parser.add_argument("--root", type=Path, default=ROOT, help="the template (this one)")
    parser.add_argument("names", nargs="*", help="parts of the names to report on (all)")
    options = parser.parse_args()
    texts = documents(options.root)
    if options.check:
        faults = [fault for text in texts for fault in text.faults()]
        print("\n".join(faults), end="\n" if faults else "")
        return 1 if faults else 0
    for title, found in (("Documents", texts), ("Docstrings and comments", code(options.root))):
        print(f"{title}\nsentences average longest over {LONGEST} listed")
        for text in found:
            if not options.names or any(name in text.name for name in options.names):
                print(text.row())
                if options.show:
                    print("\n".join(text.faults()))
        print()
    return 0


def documents(root: Path) -> list[Prose]:
    """Read the documents of the template and of its project; not the pages that are generated."""
    paths = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("tests/**/*.md")]
    paths += (root / PROJECT).rglob("*.md")
    return [
        Prose(path.relative_to(root).as_posix(), list(sentences(path.read_text(encoding="utf-8"))))
        for path in sorted(paths)
    ]


def code(root: Path) -> list[Prose]:
    """Read docstrings and comments, put together by folder."""
    folders = [root / name for name in ("hooks", "scripts", "benchmarks", "tests")]
    folders += [root / PROJECT / "config", *sorted((root / PROJECT / "apps").glob("*/"))]
    found = []
    for folder in folders:
        prose = Prose(f"{folder.relative_to(root).as_posix()}/")
        for path in sorted(folder.rglob("*.py")):
            prose.sentences += sentences_of_code(path.read_text(encoding="utf-8"))
        found.append(prose)
    return found


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of a Markdown document.

    Tables, code blocks, headings and the targets of links are none. A piece of code in a sentence
    is one word. Each item of a list starts a sentence.
    """
    for pattern, new in ((JINJA, BREAK), (COMMENT, ""), (FENCE, ""), (EXPRESSION, "§")):
        text = pattern.sub(lambda found, new=new: new + "\n" * found[0].count("\n"), text)  # type: ignore[misc]
    block: list[str] = []
    start = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        is_prose = bool(line.strip()) and not line.lstrip().startswith(("#", "|", ">"))
        if not is_prose or ITEM.match(line) or line.startswith(BREAK):
            yield from _split(" ".join(block), start)
            block = []
        if is_prose:
            start = start if block else number
            block.append(ITEM.sub("", line).strip())


def sentences_of_code(text: str) -> Iterator[Sentence]:
    """Yield the sentences of the docstrings and comments of a Python file with no Jinja."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a settings file before it is baked
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                lines = [
                    f"\n- {line}" if ENTRY.match(line) else line for line in docstring.splitlines()
                ]
                first = node.body[0].lineno
                yield from (Sentence(one.text, first) for one in sentences("\n".join(lines)))
    yield from _comments(text)


def _comments(text: str) -> Iterator[Sentence]:
    """Yield the sentences of comments; lines that follow each other are one comment."""
    block: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or re.match(r"#\s*(noqa|type:|fmt:|!)", token.string):
            continue
        number = token.start[0]
        if number != last + 1:
            yield from _split(" ".join(block), start)
            block, start = [], number
        block.append(token.string.lstrip("# ").partition("  # ")[0])
        last = number
    yield from _split(" ".join(block), start)


def _split(text: str, line: int) -> Iterable[Sentence]:
    parts = CODE.sub("§", LINK.sub(r"\1", text)).split(BREAK)
    found = (each for part in parts for each in END.split(ITEM.sub("", part).strip()))
    return [one for each in found if (one := Sentence(each.strip(), line)).words]


if __name__ == "__main__":
    sys.exit(main())
