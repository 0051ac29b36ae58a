"""What is audited is said by a list in the settings or by a call, and mistakes are refused."""

import gc
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import QuerySet
from django.test.utils import isolate_apps
from django.utils import timezone

from apps.audit import interception, registry
from apps.audit.models import Entry

from ..examples.models import Article, Author, Example, FrontPage, Hotel, Place, Restaurant
from ..trail import actions, changes, last_change

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


def test_the_settings_name_the_user_model(settings: Any, django_user_model: Any) -> None:
    assert "accounts.User" in settings.AUDITED_MODELS
    assert django_user_model in registry.audited_models()


@pytest.mark.parametrize("option", ["exclude", "mask"])
def test_an_unknown_field_is_refused(option: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'titel' of .*Article.* mean 'title'\?"):
        registry.register(Article, **{option: ["titel"]})


def test_an_abstract_model_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="it is abstract"):
        registry.register(AbstractUser)


def test_a_call_before_the_models_are_loaded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "models_ready", False)
    with pytest.raises(ImproperlyConfigured, match=r"call .* in AppConfig.ready\(\)"):
        registry.register(Article)


def test_a_proxy_stands_for_its_model_and_code_wins_over_the_settings(settings: Any) -> None:
    registry.register(FrontPage, exclude=["body"])
    settings.AUDITED_MODELS = ["audit_examples.Article", "audit_examples.FrontPage"]
    registry.register_settings()
    (audited,) = registry.covering(FrontPage)
    assert audited.model is Article
    assert audited.excluded == {"body"}


def test_logins_are_recorded_when_asked_for(django_user_model: Any, client: Any) -> None:
    registry.register(django_user_model, exclude=())
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    assert list(last_change(user)) == ["last_login"]


def test_only_users_have_a_last_login_to_exclude() -> None:
    hotel = Hotel.objects.create(name="One")
    hotel.last_login = timezone.now()
    hotel.save()
    assert list(last_change(hotel)) == ["last_login"]


def test_a_model_that_is_registered_twice_is_recorded_once() -> None:
    insert = vars(QuerySet)["_insert"]
    registry.register(Author)
    registry.register("audit_examples.author")
    interception.install()
    assert vars(QuerySet)["_insert"] is insert
    author = Author.objects.create(name="Ada")
    assert actions(author) == ["create"]


def test_a_child_brings_the_parent_that_holds_its_columns() -> None:
    registry._registered.pop(Place)
    registry.register(Hotel, exclude=["name"])
    hotel = Hotel.objects.create(name="One", beds=1)
    assert changes(hotel) == [{}, {"beds": (None, 1), "last_login": (None, None)}]


def test_what_is_masked_of_a_child_is_masked_where_its_parent_has_it() -> None:
    registry.register("audit_examples.Restaurant", mask=["name"])
    place = Place.objects.create(name="One")
    assert changes(place) == [{"name": {"masked": True}}]
    registry.register(Place)
    place.name = "Two"
    place.save()
    assert last_change(place) == {"name": {"masked": True}}


def test_what_is_excluded_of_a_child_by_default_is_recorded_where_its_parent_says_so() -> None:
    with isolate_apps("django.contrib.contenttypes"):

        class User(AbstractBaseUser):
            class Meta:
                app_label = "things"

        class Member(User):
            class Meta:
                app_label = "things"

    registry.register(Member)
    assert registry._audited[User].excluded == {"last_login"}
    registry.register(User, exclude=())
    assert registry._audited[User].excluded == set()
    registry.register(Member, exclude=["last_login"])
    assert registry._audited[User].excluded == {"last_login"}


@pytest.mark.parametrize("option", ["exclude", "mask"])
def test_a_text_in_the_place_of_a_list_is_refused(option: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"{option} of .* for example \['title'\]"):
        registry.register(Article, **{option: "title"})


@pytest.mark.parametrize(
    "key",
    [
        lambda: models.FloatField(primary_key=True),
        lambda: models.CompositePrimaryKey("name", "number"),
    ],
)
@isolate_apps("apps.audit.tests.examples")
def test_a_key_that_no_text_can_stand_for_is_refused(key: Callable[[], Any]) -> None:
    class Thing(Example):
        name = models.CharField(max_length=50)
        number = models.IntegerField()
        pk = key()

        class Meta(Example.Meta):
            pass

    with pytest.raises(ImproperlyConfigured, match=r"Thing, whose key is a (Float|Composite)"):
        registry.register(Thing)


def inherited(holder: type[models.Model], other: type[models.Model]) -> type[models.Model]:
    class Pair(Example):
        one = models.ForeignKey(holder, models.CASCADE)
        two = models.ForeignKey(other, models.CASCADE)

        class Meta(Example.Meta):
            pass

    class Through(Pair):
        class Meta(Example.Meta):
            pass

    return Through


def of_two_columns(holder: type[models.Model], other: type[models.Model]) -> type[models.Model]:
    class Through(Example):
        pk = models.CompositePrimaryKey("one", "two")
        one = models.ForeignKey(holder, models.CASCADE)
        two = models.ForeignKey(other, models.CASCADE)

        class Meta(Example.Meta):
            pass

    return Through


def by_another_field(holder: type[models.Model], other: type[models.Model]) -> type[models.Model]:
    class Through(Example):
        one = models.ForeignKey(holder, models.CASCADE)
        two = models.ForeignKey(other, models.CASCADE, to_field="code")

        class Meta(Example.Meta):
            pass

    return Through


@pytest.mark.parametrize(
    ("through", "why"),
    [
        (inherited, "stand in the table of a model that their own inherits from"),
        (of_two_columns, "have a key of several columns"),
        (by_another_field, "name objects by another field than their key"),
    ],
)
@isolate_apps("apps.audit.tests.examples")
def test_links_that_cannot_be_recorded_are_refused_unless_left_out(
    through: Callable[..., type[models.Model]], why: str
) -> None:
    class Other(Example):
        code = models.CharField(max_length=50, unique=True)

        class Meta(Example.Meta):
            pass

    class Holder(Example):
        others = models.ManyToManyField(
            Other, through="Through", through_fields=("one", "two"), related_name="+"
        )

        class Meta(Example.Meta):
            pass

    class Child(Holder):
        class Meta(Example.Meta):
            pass

    through(Holder, Other)
    for model in (Holder, Child):
        with pytest.raises(ImproperlyConfigured, match=rf"'others' of .*Holder, whose links {why}"):
            registry.register(model)
    registry.register(Holder, exclude=["others"])
    registry.register(Child)


def test_another_model_is_audited_in_one_line() -> None:
    registry.register("audit_examples.Restaurant")
    restaurant = Restaurant.objects.create(name="One", stars=1)
    assert changes(restaurant) == [{"name": (None, "One")}, {"stars": (None, 1)}]


@pytest.mark.parametrize("debug", [True, False])
@isolate_apps("django.contrib.contenttypes")
def test_the_trail_does_not_depend_on_debug(debug: bool, settings: Any) -> None:
    settings.DEBUG = debug

    class Thing(models.Model):
        name = models.CharField(max_length=50)

        objects: ClassVar[Any] = models.Manager()

        class Meta:
            app_label = "things"
            db_table = Author._meta.db_table

        def __str__(self) -> str:
            return self.name

    registry.register(Thing)
    # What only a weak reference held is gone after this.
    gc.collect()
    thing = Thing.objects.create(name="Old")
    thing.name = "New"
    thing.save()
    thing.delete()
    entries = Entry.objects.filter(model_label="things.Thing").order_by("id")
    assert [entry.action for entry in entries] == ["create", "update", "delete"]
