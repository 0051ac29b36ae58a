"""Django's own tests, with every model audited that can be, on both databases."""

from pathlib import Path

import pytest

from tests.support.django_suite import run_suite
from tests.support.project import BakedProject

pytestmark = pytest.mark.whole

# The folders whose tests write. Those that change tables run separately: on SQLite, such a change
# takes longer with each trigger in the database. The others are in parts, because
# Django makes all tables in one transaction. On PostgreSQL it holds a lock for each table and each
# function, and a server has room for some thousands of locks.
PARTS = {
    "tables": """
        backends introspection migrate_signals migration_test_data_persistence
        proxy_model_inheritance schema swappable_models
    """,
    "applications 1": """
        admin_changelist admin_custom_urls admin_inlines admin_ordering admin_utils admin_views
        admin_widgets
    """,
    "applications 2": """
        async auth_tests flatpages_tests generic_inline_admin generic_views
    """,
    "applications 3": """
        inline_formsets model_forms model_formsets model_formsets_regress redirects_tests
        servers sessions_tests sites_framework sites_tests test_utils view_tests
    """,
    "models 1": """
        aggregation aggregation_regress annotations basic bulk_create composite_pk constraints
        contenttypes_tests custom_columns custom_lookups custom_managers custom_methods
        custom_pk
    """,
    "models 2": """
        datatypes dates datetimes db_functions defer defer_regress delete delete_regress
        distinct_on_fields empty empty_models expressions expressions_case
    """,
    "models 3": """
        expressions_window extra_regress field_defaults field_subclassing filtered_relation
        fixtures fixtures_model_package fixtures_regress force_insert_update foreign_object
        from_db_value generic_relations generic_relations_regress
    """,
    "models 4": """
        get_earliest_or_latest get_object_or_404 get_or_create known_related_objects lookup
        m2m_and_m2o m2m_intermediary m2m_multiple m2m_recursive m2m_regress m2m_signals
        m2m_through m2m_through_regress
    """,
    "models 5": """
        m2o_recursive managers_regress many_to_many many_to_one many_to_one_null max_lengths
        model_enums model_fields model_inheritance model_inheritance_regress model_options
        model_package model_regress
    """,
    "models 6": """
        model_utils multiple_database mutually_referential nested_foreign_keys null_fk
        null_fk_ordering null_queries one_to_one or_lookups order_with_respect_to ordering
        pagination postgres_tests
    """,
    "models 7": """
        prefetch_related properties proxy_models queries queryset_pickle raw_query
        reserved_names reverse_lookup save_delete_hooks select_for_update select_related
        select_related_onetoone select_related_regress
    """,
    "models 8": """
        serializers signals str string_lookup timezones transaction_hooks transactions
        unmanaged_models update update_only_fields validation xor_lookups
    """,
}
# Tests that may fail, by the start of their paths, and why.
POOL = "It needs psycopg_pool, which projects do not have: it fails without the trail as well."
WRAPPER = "It wants a connection with no wrapper around its statements; the trail has one there."
TEXT = (
    "It compares the text of a statement, or its beginning, with a comment of the trail in front."
)
EXCUSED = {
    "backends.base.test_base.ExecuteWrapperTests.test_wrapper_connection_specific": WRAPPER,
}
EXCUSED_ON_POSTGRESQL = {
    "admin_views.test_actions.AdminActionsTest.test_model_admin_default_delete_action": TEXT,
    "backends.postgresql.tests.Tests.test_connect_pool": POOL,
    "backends.postgresql.tests.Tests.test_pool": POOL,
    "backends.tests.LastExecutedQueryTest.test_last_executed_query_dict": TEXT,
    "backends.tests.LastExecutedQueryTest.test_last_executed_query_with_duplicate_params": TEXT,
    "get_or_create.tests.UpdateOrCreateTests.test_update_only_defaults_and_pre_save_fields": TEXT,
}


@pytest.mark.parametrize("part", PARTS)
def test_passes_with_every_model_audited(
    part: str, all_on: BakedProject, database_url: str, tmp_path: Path
) -> None:
    """Each test that passes without the trail passes with it, and the triggers stay right."""
    done = run_suite(all_on, PARTS[part].split(), database_url, tmp_path)
    print(done)
    excused = (*EXCUSED, *(EXCUSED_ON_POSTGRESQL if database_url else ()))
    failures = {at: of for at, of in done.failures.items() if not at.startswith(excused)}
    assert done.audited > 9 * len(done.refused), done.refused
    assert not failures, "\n\n".join([str(done), *(f"{at}\n{of}" for at, of in failures.items())])
