"""Readable mail on the console."""

import sys
from email.policy import default
from typing import Final

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend

READABLE: Final = default.clone(max_line_length=sys.maxsize, cte_type="8bit", utf8=True)


class ReadableConsoleBackend(EmailBackend):
    """Prints mail instead of sending it. Unlike Django's backend, it keeps long links whole."""

    def write_message(self, message: EmailMessage) -> None:
        """Write the headers and the text without encoding."""
        text = message.message(policy=READABLE).as_bytes().decode()
        self.stream.write(f"{text}\n{'-' * 79}\n")
