"""Mail on the console, for people to read."""

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend


class ReadableConsoleBackend(EmailBackend):
    """Prints mail instead of sending it, with its text as it was written.

    Django's own prints what would go over the wire, where long lines are wrapped and a link is
    cut in two.
    """

    def write_message(self, message: EmailMessage) -> None:
        """Write the headers, the texts and the names of the attachments."""
        made = message.message()
        headers = [
            f"{name}: {value}"
            for name, value in made.items()
            if not name.lower().startswith(("content-", "mime-"))
        ]
        parts = ["\n".join(headers)]
        for part in made.walk():
            if part.get_content_maintype() == "text" and not part.is_attachment():
                parts.append(part.get_content().rstrip("\n"))
            elif not part.is_multipart():
                parts.append(f"[{part.get_content_type()}: {part.get_filename()}]")
        self.stream.write("\n\n".join(parts) + f"\n{'-' * 79}\n")
