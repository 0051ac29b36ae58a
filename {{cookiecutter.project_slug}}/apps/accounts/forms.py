from typing import ClassVar

from django.contrib.auth.forms import UserCreationForm

from .models import User


class SignUpForm(UserCreationForm):
    """What a new user logs in with, the e-mail address and the password."""

    class Meta:
        model = User
        fields: ClassVar = [User.USERNAME_FIELD, User.get_email_field_name()]
