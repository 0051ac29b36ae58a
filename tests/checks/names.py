"""Whether everything exists that a project's documents and configuration name."""

from tests.checks import inside
from tests.checks.reader import Reader
from tests.support.project import BakedProject


def dangling(project: BakedProject) -> list[str]:
    """Every path, link, command, group, URL, setting and variable that is named exists."""
    findings = Reader(project).read()
    (done,) = inside.results(project, "dangling")
    return findings.faults + findings.answers(done)
