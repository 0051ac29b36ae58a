from typing import Any, ClassVar

from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.validators import ASCIIUsernameValidator

from .models import User


class SignUpForm(UserCreationForm):
    """What a new user logs in with, the e-mail address and the password."""

    class Meta:
        model = User
        fields: ClassVar = [User.USERNAME_FIELD, User.get_email_field_name()]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if User.get_email_field_name() != User.USERNAME_FIELD:
            # Letters of other alphabets look like these. Staff may give such names all the same.
            self.fields[User.USERNAME_FIELD].validators.append(ASCIIUsernameValidator())
