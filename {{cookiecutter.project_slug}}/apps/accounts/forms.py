from typing import ClassVar

from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.validators import ASCIIUsernameValidator

from .models import User


class SignUpForm(UserCreationForm):
    """The name, the e-mail address and the password of a new user."""

    class Meta:
        model = User
        fields: ClassVar = [User.USERNAME_FIELD, User.get_email_field_name()]

    def clean_username(self) -> str:
        """Refuse letters of other alphabets, because some look like ASCII letters."""
        ASCIIUsernameValidator()(self.cleaned_data["username"])
        return super().clean_username()
