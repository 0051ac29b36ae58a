"""A lookup that the database refuses is answered with 400, in every admin of the project."""

from typing import Any, Final

import pytest
from django.contrib import admin
from django.db import OperationalError, ProgrammingError, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import resolve, reverse

from apps.accounts.models import User
from apps.core.middleware import LookupMiddleware

LOOKUPS: Final = (
    ("", "%00"),
    ("__contains", "%00"),
    ("__in", "a,%00"),
    ("__regex", "["),
    ("__iregex", "("),
    ("__range", "["),
    ("__range", "2026-13-45"),
    ("__year", "9" * 30),
)


@pytest.mark.django_db
@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label)
def test_no_lookup_of_an_admin_fails(client: Client, model: Any) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    pages = [
        f"{page}?{field.name}{lookup}={value}"
        for field in model._meta.fields
        for lookup, value in LOOKUPS
    ]
    pages += [f"{page}%00/change/", f"{page}?q=%00", f"{page}?o=%00", f"{page}?p=%00"]
    for each in pages:
        with transaction.atomic():
            assert client.get(each).status_code in (200, 302, 400, 404), each
            # After an error, PostgreSQL needs a rollback.
            transaction.set_rollback(True)


def test_an_error_that_no_url_causes_stays_an_error() -> None:
    """Such as a missing table, or a database that is down."""
    answer = LookupMiddleware(lambda request: HttpResponse()).process_exception
    factory = RequestFactory()
    page = "/admin/accounts/user/"
    for request, error in (
        (factory.get(page), ProgrammingError("no such table")),
        (factory.get("/?a=b"), ProgrammingError("no such table")),
        (factory.get("/?a=b"), IndexError()),
        (factory.get(f"{page}?a=b"), OperationalError("away")),
        (factory.post(f"{page}?a=b"), ProgrammingError("no such table")),
    ):
        request.resolver_match = resolve(request.path)
        assert answer(request, error) is None
