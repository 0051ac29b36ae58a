"""Links that confirm an address. Only the owner of the address gets one."""

from typing import Final

from django.conf import settings
from django.core import signing
from django.urls import reverse

from apps.accounts.models import User

SALT: Final = "apps.welcome_email.confirmation"


def confirmation_link(user: User) -> str:
    """Return the address of a page that confirms the user's present address."""
    token = signing.dumps([str(user.pk), user.email], salt=SALT)
    return settings.SITE_URL + reverse("welcome_email:confirm", args=[token])


def user_of(token: str) -> User | None:
    """Return the user whose address a link confirms; None for an old or wrong link."""
    try:
        pk, email = signing.loads(token, salt=SALT, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        return None
    return User.objects.filter(pk=pk, email=email, is_active=True).first()
