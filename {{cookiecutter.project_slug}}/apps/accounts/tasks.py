"""Jobs of the accounts."""

from django.contrib.auth.forms import PasswordResetForm
from django.tasks import task


@task
def mail_password_reset(address: str, domain: str, use_https: bool) -> None:
    """Mail a link to a new password, if a user with this address may log in.

    Django logs an error of the mail server. The user can ask again.
    """
    form = PasswordResetForm({"email": address})
    if form.is_valid():
        template = "accounts/password_reset"
        form.save(domain, f"{template}_subject.txt", f"{template}_email.txt", use_https)
