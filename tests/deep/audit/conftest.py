"""More example models than the contract tests need."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model

from ..conftest import audited


@pytest.fixture(scope="package", autouse=True)
def more_examples(examples: None, django_db_blocker: Any) -> Iterator[None]:
    """Install them besides the others."""
    from . import models as m
    from .tables import TABLES

    tables: list[type[Model]] = [m.Note, m.Review, m.Club, m.Membership]
    tables += [m.Place, m.Restaurant, m.Hotel, m.Invoice, *TABLES]
    if connection.vendor == "postgresql":
        from .postgresql import Season

        tables.append(Season)
    with audited(tables, django_db_blocker, unaudited=[m.Membership, m.Restaurant]):
        yield
