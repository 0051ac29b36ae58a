"""Bulk writes that send signals, for models that opt in with ``BulkSignalsQuerySet``."""

from collections.abc import Iterable
from typing import Any

from django.db import NotSupportedError, transaction
from django.db.models import CASCADE, Model, QuerySet

from .signals import bulk_created, bulk_deleted, bulk_updated


class BulkSignalsQuerySet[Row: Model](QuerySet[Row]):
    """Sends one signal for each bulk write, in its transaction.

    While a receiver listens, ``update`` and ``delete`` first select and lock the keys. No signal is
    sent for rows that a cascade changes, for ``related.add()`` and for raw SQL.

    Raises:
        NotSupportedError: by a write that cannot know which rows it changes.
        ObjectNotUpdated: by a write that did not find all its rows. It is rolled back.
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
        has_listeners = bulk_created.has_listeners(self.model)
        updates = update_conflicts and bulk_updated.has_listeners(self.model)
        if updates or (has_listeners and any(conflicts)):
            raise self._refusal("bulk_create() with conflicts does not say which rows are new")
        objs = list(objs)
        if not objs or not has_listeners:
            return super().bulk_create(objs, batch_size, *conflicts, *args, **options)
        using = self.select_for_update().db
        with transaction.atomic(using=using, savepoint=False):
            created = super().bulk_create(objs, batch_size, *conflicts, *args, **options)
            pks = tuple(row.pk for row in created)
            if None in pks:
                raise self._refusal("This database returns no keys from bulk_create()")
            bulk_created.send(self.model, instances=tuple(created), pks=pks, using=using)
        return created

    def bulk_update(
        self, objs: Iterable[Row], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """Update the rows, then send ``bulk_updated``; see ``QuerySet.bulk_update``."""
        objs, fields = list(objs), list(fields)
        if not objs or not bulk_updated.has_listeners(self.model):
            return super().bulk_update(objs, fields, batch_size)
        using = self.select_for_update().db
        # Django updates in batches. The update() of this class would send a signal for each.
        rows: QuerySet[Row] = QuerySet(self.model, self.query.chain(), using)
        pks = tuple(dict.fromkeys(row.pk for row in objs))
        with transaction.atomic(using=using, savepoint=False):
            count = rows.bulk_update(objs, fields, batch_size)
            # Two batches may write the same object.
            self._send_updated(pks, min(count, len(pks)), fields, using)
        return count

    def update(self, **kwargs: Any) -> int:
        """Update the rows, then send ``bulk_updated``; see ``QuerySet.update``."""
        if not kwargs or not bulk_updated.has_listeners(self.model):
            return super().update(**kwargs)
        field = self.model._meta.get_field
        if any(name == "pk" or getattr(field(name), "primary_key", False) for name in kwargs):
            raise self._refusal("update() of a primary key changes the keys that it sends")
        using = self.select_for_update().db
        with transaction.atomic(using=using, savepoint=False):
            pks = self._locked_keys(using)
            count = super().update(**kwargs)
            self._send_updated(pks, count, kwargs, using)
        return count

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the rows, then send ``bulk_deleted``; see ``QuerySet.delete``."""
        if not bulk_deleted.has_listeners(self.model):
            return super().delete()
        using = self.select_for_update().db
        with transaction.atomic(using=using, savepoint=False):
            pks = self._locked_keys(using)
            total, by_model = super().delete()
            links = (field.remote_field for field in self.model._meta.concrete_fields)
            # With a cascade within this model, the count includes more rows.
            if all(getattr(link, "on_delete", None) is not CASCADE for link in links):
                self._refuse_other_rows(pks, by_model.get(self.model._meta.label, 0))
            if pks:
                bulk_deleted.send(self.model, pks=pks, using=using)
        return total, by_model

    # Without this, ``Model.objects.delete()`` would delete all rows.
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _locked_keys(self, using: str) -> tuple[Any, ...]:
        rows = self.model._base_manager.using(using).select_for_update().order_by("pk")
        found = rows.filter(pk__in=self.using(using).values("pk"))
        return tuple(found.values_list("pk", flat=True))

    def _send_updated(
        self, pks: tuple[Any, ...], count: int, names: Iterable[str], using: str
    ) -> None:
        self._refuse_other_rows(pks, count)
        if pks:
            fields = frozenset(self.model._meta.get_field(name).name for name in names)
            bulk_updated.send(self.model, pks=pks, fields=fields, using=using)

    def _refuse_other_rows(self, pks: tuple[Any, ...], count: int) -> None:
        if count != len(pks):
            raise self.model.NotUpdated(  # type: ignore[attr-defined]
                f"The write found {count} of {len(pks)} rows of {self.model._meta.label}; check its"
                " filter, or try again if others changed the rows."
            )

    def _refusal(self, why: str) -> NotSupportedError:
        return NotSupportedError(
            f"{why}, which receivers of {self.model._meta.label} need; to write past all receivers:"
            f" {self.model.__name__}._base_manager.bulk_create(...)."
        )
