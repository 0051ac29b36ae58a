"""Mail of development is printed, so that people can read it and follow its links."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
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
    capsys.readouterr()  # without a welcome mail
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
    printed = stream.getvalue()
    assert "\nSubject: Grüße\nFrom: me@example.com\nTo: ada@example.com\n" in printed
    assert "\n\nSchöne Grüße\n\n" in printed
    assert "\n\n<p>Schöne Grüße</p>\n\n" in printed
    assert "\n\nall of them\n\n" in printed
    assert 'filename="letter.pdf"' in printed
    assert printed.endswith(f"--\n\n{'-' * 79}\n")
    long = f"https://example.com/{'ä' * 9_000}"
    assert ReadableConsoleBackend(stream=stream).send_messages([EmailMessage(body=long)]) == 1
    assert long in stream.getvalue()
