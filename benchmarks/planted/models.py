"""The rows that producers write, and the rows that their jobs write."""

import uuid

from django.db import models


class Order(models.Model):
    """A row that a producer commits or rolls back; its job is handed off with it.

    The key is the producer's own, so that no later row has the key of one that was rolled back.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)


class Tick(models.Model):
    """One tick of a periodic job, noted by a trigger when its next run is moved on."""

    name = models.TextField()


class Effect(models.Model):
    """One run of the job of an order or a tick. No constraint prevents duplicates or wrong keys."""

    order_id = models.UUIDField()
