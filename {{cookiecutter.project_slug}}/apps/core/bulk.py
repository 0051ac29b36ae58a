"""Bulk writes that receivers hear, for models that opt in.

``objects = BulkSignalsQuerySet.as_manager()``, or ``SomeManager.from_queryset(BulkSignalsQuerySet)``.
"""

from collections.abc import Iterable
from typing import Any

from django.db import NotSupportedError, transaction
from django.db.models import CASCADE, Model, QuerySet

from .signals import bulk_created, bulk_deleted, bulk_updated


class BulkSignalsQuerySet[Row: Model](QuerySet[Row]):
    """Sends one signal for each bulk write, in its transaction, whatever the number of rows.

    The coroutines (``abulk_create`` and so on) do the same. While no receiver listens, every
    write is Django's own. Else ``update`` and ``delete`` first select and lock the keys.

    Not told of are rows that a cascade deletes or sets to NULL, ``related.add()`` and SQL.

    Raises:
        NotSupportedError: by a write that cannot tell which rows it changes.
        ObjectNotUpdated: by a write that did not find all its rows, for instance because another
            transaction changed them meanwhile. It is rolled back.
    """

    def bulk_create(
        self,
        objs: Iterable[Row],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        *args: Any,
        **options: Any,
    ) -> list[Row]:
        """Create the rows, then send ``bulk_created``; see ``QuerySet.bulk_create``."""
        conflicts = (ignore_conflicts, update_conflicts)
        is_heard = bulk_created.has_listeners(self.model)
        updates = update_conflicts and bulk_updated.has_listeners(self.model)
        if updates or (is_heard and any(conflicts)):
            raise self._cannot_tell("bulk_create() with conflicts cannot tell which rows are new.")
        objs = list(objs)
        if not objs or not is_heard:
            return super().bulk_create(objs, batch_size, *conflicts, *args, **options)
        using = self._written_to()
        with transaction.atomic(using=using, savepoint=False):
            created = super().bulk_create(objs, batch_size, *conflicts, *args, **options)
            pks = tuple(row.pk for row in created)
            if None in pks:
                raise self._cannot_tell("This database returns no keys from bulk_create().")
            bulk_created.send(self.model, instances=tuple(created), pks=pks, using=using)
        return created

    def bulk_update(
        self, objs: Iterable[Row], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """Update the rows, then send ``bulk_updated``; see ``QuerySet.bulk_update``."""
        objs, fields = list(objs), list(fields)
        if not objs or not bulk_updated.has_listeners(self.model):
            return super().bulk_update(objs, fields, batch_size)
        using = self._written_to()
        # Django updates in batches, and the update() of this class would tell of each.
        rows: QuerySet[Row] = QuerySet(self.model, self.query.chain(), using)
        pks = tuple(dict.fromkeys(row.pk for row in objs))
        with transaction.atomic(using=using, savepoint=False):
            count = rows.bulk_update(objs, fields, batch_size)
            # An object that is given twice is written once in each batch.
            self._tell_of_update(pks, min(count, len(pks)), fields, using)
        return count

    def update(self, **kwargs: Any) -> int:
        """Update the rows, then send ``bulk_updated``; see ``QuerySet.update``."""
        if not kwargs or not bulk_updated.has_listeners(self.model):
            return super().update(**kwargs)
        field = self.model._meta.get_field
        if any(name == "pk" or getattr(field(name), "primary_key", False) for name in kwargs):
            raise self._cannot_tell("update() of a primary key changes the keys it tells of.")
        using = self._written_to()
        with transaction.atomic(using=using, savepoint=False):
            pks = self._locked_keys(using)
            count = super().update(**kwargs)
            self._tell_of_update(pks, count, kwargs, using)
        return count

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the rows, then send ``bulk_deleted``; see ``QuerySet.delete``."""
        if not bulk_deleted.has_listeners(self.model):
            return super().delete()
        using = self._written_to()
        with transaction.atomic(using=using, savepoint=False):
            pks = self._locked_keys(using)
            total, by_model = super().delete()
            links = (field.remote_field for field in self.model._meta.concrete_fields)
            # The count includes rows of this model that a cascade has deleted.
            if all(getattr(link, "on_delete", None) is not CASCADE for link in links):
                self._refuse_other_rows(pks, by_model.get(self.model._meta.label, 0))
            if pks:
                bulk_deleted.send(self.model, pks=pks, using=using)
        return total, by_model

    # Else ``Model.objects.delete()`` would delete all rows.
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _written_to(self) -> str:
        """Return the alias of the database that a write goes to."""
        return self.select_for_update().db

    def _locked_keys(self, using: str) -> tuple[Any, ...]:
        rows = self.model._base_manager.using(using).select_for_update().order_by("pk")
        found = rows.filter(pk__in=self.using(using).values("pk"))
        return tuple(found.values_list("pk", flat=True))

    def _tell_of_update(
        self, pks: tuple[Any, ...], count: int, names: Iterable[str], using: str
    ) -> None:
        self._refuse_other_rows(pks, count)
        if pks:
            fields = frozenset(self.model._meta.get_field(name).name for name in names)
            bulk_updated.send(self.model, pks=pks, fields=fields, using=using)

    def _refuse_other_rows(self, pks: tuple[Any, ...], count: int) -> None:
        if count != len(pks):
            raise self.model.NotUpdated(  # type: ignore[attr-defined]
                f"{len(pks)} rows of {self.model._meta.label} were to be written, and {count} were"
                " found: a filter leaves others out, or they have changed meanwhile. Nothing is"
                " written; try again."
            )

    def _cannot_tell(self, why: str) -> NotSupportedError:
        return NotSupportedError(
            f"{why} Receivers of {self.model._meta.label} have to be told. Write the rows in another"
            f" way, or past all receivers: {self.model.__name__}._base_manager.bulk_create(...)."
        )
