"""Runs inside a baked project and prints, as JSON, the answers as they arrived there."""

import json
from html.parser import HTMLParser

import django
from django.conf import settings
from django.test import Client


class Texts(HTMLParser):
    """Collects the text of the title, of the first heading and of the paragraph below it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = "lead" if ("class", "lead") in attrs else tag
        if name in ("title", "h1", "lead"):
            self.inside = name
            self.texts[name] = ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside] += data


def main() -> None:
    """Load the settings and the home page."""
    django.setup()
    settings.ALLOWED_HOSTS = ["testserver"]
    page = Texts()
    page.feed(Client().get("/").content.decode())
    page.close()
    print(
        json.dumps(
            {
                "name": settings.PROJECT_NAME,
                "description": settings.PROJECT_DESCRIPTION,
                "sender": settings.DEFAULT_FROM_EMAIL,
                **page.texts,
            }
        )
    )


if __name__ == "__main__":
    main()
