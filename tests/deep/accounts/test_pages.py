"""The pages of an account say what a person has to know before they send a form."""

import pytest
from django.test import Client
from django.urls import reverse

OPTIONAL = "The email address is optional."


@pytest.mark.django_db
def test_only_the_sign_up_says_that_the_address_is_optional(client: Client) -> None:
    assert OPTIONAL in client.get(reverse("signup")).text
    assert OPTIONAL not in client.get(reverse("password_reset")).text
