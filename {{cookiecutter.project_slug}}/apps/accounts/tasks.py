"""Jobs of the accounts."""

from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMessage
from django.tasks import task
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import urlsafe_base64_encode

from apps.core.jobs import autocommit


@task
@autocommit
def mail_password_reset(address: str) -> None:
    """Mail a link that sets a new password, if the address is that of a user who may log in.

    Raises:
        OSError, SMTPException: when the mail server does not take the mail; the job can be run
            again.
    """
    for user in PasswordResetForm().get_users(address):
        key = urlsafe_base64_encode(str(user.pk).encode())
        page = reverse(
            "password_reset_confirm", args=[key, default_token_generator.make_token(user)]
        )
        text = render_to_string(
            "accounts/password_reset_email.txt", {"user": user, "link": settings.SITE_URL + page}
        )
        subject = f"Reset your password on {settings.PROJECT_NAME}"
        EmailMessage(subject, text, to=[user.email]).send(using="default")
