"""Django's own tests, with every model audited that can be, on both databases."""

from pathlib import Path

import pytest

from tests.support.django_suite import run_suite
from tests.support.project import BakedProject

pytestmark = pytest.mark.whole

POOLS = "backends.postgresql.tests.Tests"
NO_POOL = "needs psycopg_pool, which projects do not have"
# Tests that pass without the trail and may fail with it, and such as fail without it.
EXCUSED = {
    f"{POOLS}.test_connect_pool": NO_POOL,
}
