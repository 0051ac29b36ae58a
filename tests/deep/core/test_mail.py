"""Mail of development is printed so that people can read it and follow its links."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.test import Client

from apps.accounts.models import User
from apps.accounts.tests.test_accounts import wait_for_mails
from apps.core.mail import ReadableConsoleBackend
from apps.core.tests.deep.test_settings import setting


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("jobs_in_process")
def test_a_link_on_the_console_can_be_followed(
    client: Client, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.MAILERS = setting("s.MAILERS", DEBUG="1", EMAIL_URL="consolemail://")
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    User.objects.create_user("ada", "ada@example.com", "a long pass phrase")
    who = {"email": "ada@example.com"}
    capsys.readouterr()  # a welcome
    client.post("/accounts/password_reset/", who, headers={"host": "127.0.0.1:8000"})
    wait_for_mails()
    link = re.search(r"http://127\.0\.0\.1:8000(/\S+)", capsys.readouterr().out)
    assert link is not None
    assert 'name="new_password1"' in client.get(link[1], follow=True).text


def test_all_of_a_mail_is_printed() -> None:
    mail = EmailMultiAlternatives("Grüße", "Schöne Grüße\n", "me@example.com", ["ada@example.com"])
    mail.attach_alternative("<p>Schöne Grüße</p>", "text/html")
    mail.attach("letter.pdf", b"%PDF", "application/pdf")
    mail.attach("notes.txt", "all of them", "text/plain")
    stream = StringIO()
    assert ReadableConsoleBackend(stream=stream).send_messages([mail]) == 1
    head, *parts = stream.getvalue().split("\n\n")
    assert head.startswith("Subject: Grüße\nFrom: me@example.com\nTo: ada@example.com\n")
    assert "Content-" not in head
    assert parts == [
        "Schöne Grüße",
        "<p>Schöne Grüße</p>",
        "[application/pdf: letter.pdf]",
        f"[text/plain: notes.txt]\n{'-' * 79}\n",
    ]
