"""What producers write, and what its job writes in turn."""

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
    """One run of an order's job, or of a tick's. Nothing keeps two, or one without an order, from being written."""

    order_id = models.UUIDField()
