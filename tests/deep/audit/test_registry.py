"""A list in the settings or a call says which models are audited. Mistakes are refused."""

import gc
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
from django.db import models
from django.db.models.functions import Concat, Upper
from django.test.utils import isolate_apps
from django.utils import timezone

from apps.audit import registry
from apps.audit.models import Entry

from ..conftest import register
from ..examples.models import Article, Author, Example
from ..trail import actions, changes, last_change
from .models import FrontPage, Hotel, Place, Restaurant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


def recorded_of(model: type[models.Model]) -> set[str]:
    """Name the columns that are recorded."""
    return {field.name for field in registry.audited_models()[model].fields}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["accounts.Usr"], "'accounts.Usr', which AUDITED_MODELS .* mean 'accounts.User'?"),
        (["nowhere.Thing"], "cannot find the model 'nowhere.Thing'"),
        (["User"], "cannot find the model 'User'"),
        ("accounts.User", r"must be a list of labels, for example \['accounts.User'\]"),
        (["audit.Entry"], "cannot record itself"),
        (["audit.Seal"], "cannot record itself"),
        (["auth.User"], "has no table: it is swapped for accounts.User"),
    ],
)
def test_a_mistake_in_the_settings_is_refused(labels: Any, words: str, settings: Any) -> None:
    settings.AUDITED_MODELS = labels
    with pytest.raises(ImproperlyConfigured, match=words):
        registry.register_settings()


def test_excluded_fields_leave_no_entry() -> None:
    Article.objects.create(title="Before", body="Text")
    register(Article, exclude=["body", "tags"])
    article = Article.objects.create(title="One", body="Text")
    article.body = "New"
    article.save()
    article.save(update_fields=["body"])
    article.tags.create(slug="a")
    assert actions(article) == ["create"]
    assert "body" not in last_change(article)


def test_masked_fields_leave_their_name_only() -> None:
    register(Article, mask=["title", "tags"])
    article = Article.objects.create(title="One")
    article.title = "Two"
    article.save()
    article.tags.create(slug="a")
    masked = {"masked": True}
    assert changes(article)[1:] == [{"title": masked}, {"tags": masked}]
    assert last_change(article).get("access_token", masked) == masked


def test_the_settings_name_the_user_model(settings: Any, django_user_model: Any) -> None:
    assert "accounts.User" in settings.AUDITED_MODELS
    assert django_user_model in registry.audited_models()


@pytest.mark.parametrize("option", ["exclude", "mask"])
def test_an_unknown_field_is_refused(option: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'titel' of .*Article.* mean 'title'\?"):
        register(Article, **{option: ["titel"]})


def test_an_abstract_model_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="it is abstract"):
        registry.register(AbstractUser)


def test_a_call_before_the_models_are_loaded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "models_ready", False)
    with pytest.raises(AppRegistryNotReady):
        registry.register(Article)


def test_a_proxy_stands_for_its_model_and_code_wins_over_the_settings(settings: Any) -> None:
    registry.register(FrontPage, exclude=["body"])
    settings.AUDITED_MODELS = ["audit_examples.Article", "audit_examples.FrontPage"]
    registry.register_settings()
    (audited,) = registry.covering(FrontPage)
    assert audited.model is Article
    assert "body" not in recorded_of(Article)


def test_logins_are_recorded_when_asked_for(django_user_model: Any, client: Any) -> None:
    register(django_user_model, exclude=())
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    assert list(last_change(user)) == ["last_login"]


def test_only_users_have_a_last_login_to_exclude() -> None:
    hotel = Hotel.objects.create(name="One")
    hotel.last_login = timezone.now()
    hotel.save()
    assert list(last_change(hotel)) == ["last_login"]


def test_a_model_that_is_registered_twice_is_recorded_once() -> None:
    register(Author)
    register("audit_examples.author")
    author = Author.objects.create(name="Ada")
    assert actions(author) == ["create"]


def test_a_child_brings_the_parent_that_holds_its_columns() -> None:
    registry._registered.pop(Place)
    register(Hotel, exclude=["name"])
    hotel = Hotel.objects.create(name="One", beds=1)
    assert changes(hotel) == [{}, {"beds": (None, 1), "last_login": (None, None)}]


def test_what_is_masked_of_a_child_is_masked_where_its_parent_has_it() -> None:
    register("audit_examples.Restaurant", mask=["name"])
    place = Place.objects.create(name="One")
    assert changes(place) == [{"name": {"masked": True}}]
    register(Place)
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
    assert "last_login" not in recorded_of(User)
    registry.register(User, exclude=())
    assert "last_login" in recorded_of(User)
    registry.register(Member, exclude=["last_login"])
    assert "last_login" not in recorded_of(User)


def test_a_field_for_the_name_of_a_user_is_personal() -> None:
    with isolate_apps("django.contrib.contenttypes"):

        class User(AbstractBaseUser):
            username = models.CharField(max_length=50)
            name = models.CharField(max_length=50)
            USERNAME_FIELD = "username"

            class Meta:
                app_label = "things"

    registry.register(User)
    audited = registry.audited_models()[User]
    assert audited.name is not None
    assert audited.name.name in audited.personal
    registry.register(User, personal=["username"])
    assert registry.audited_models()[User].personal == {"username", "address"}


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


@isolate_apps("apps.audit.tests.examples")
def test_a_key_that_is_masked_is_refused() -> None:
    class Door(Example):
        pin = models.CharField(max_length=50, primary_key=True)
        email = models.CharField(max_length=50, unique=True)

    class Person(Example):
        email = models.CharField(max_length=50, primary_key=True)

    with pytest.raises(ImproperlyConfigured, match="Door, whose key is masked"):
        registry.register(Door)
    with pytest.raises(ImproperlyConfigured, match="Person, whose key is masked"):
        registry.register(Person, mask=["email"])
    registry.register(Person)


@isolate_apps("apps.audit.tests.examples")
def test_a_key_that_points_to_a_masked_field_is_masked() -> None:
    class Session(Example):
        session_key = models.CharField(max_length=50, primary_key=True)

    class Person(Example):
        email = models.CharField(max_length=50, unique=True)

    class Visit(Example):
        session = models.OneToOneField(Session, models.CASCADE, related_name="+")
        others = models.ManyToManyField(Session)
        email = models.ForeignKey(Person, models.CASCADE, to_field="email", related_name="+")
        person = models.ForeignKey(Person, models.CASCADE, null=True)

    registry.register(Visit)
    assert registry.audited_models()[Visit].masked == {"session", "others"}
    registry.register(Person, mask=["email"])
    assert registry.audited_models()[Visit].masked == {"session", "others", "email"}


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


# In the table of a model that their own inherits from, with a key of several columns, or naming
# objects by another field than their key.
@pytest.mark.parametrize(
    ("through", "fault"),
    [
        (inherited, "inherit from another table"),
        (of_two_columns, "have a key that is no whole number"),
        (by_another_field, "name objects by another field"),
    ],
)
@isolate_apps("apps.audit.tests.examples")
def test_links_that_cannot_be_recorded_are_refused_unless_left_out(
    through: Callable[..., type[models.Model]], fault: str
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
        message = f"'others' of .*Holder, whose links {fault}.*exclude="
        with pytest.raises(ImproperlyConfigured, match=message):
            registry.register(model)
    registry.register(Holder, exclude=["others"])
    registry.register(Child)


def test_another_model_is_audited_in_one_line() -> None:
    register("audit_examples.Restaurant")
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

    register(Thing)
    # Objects that only a weak reference held are gone after this.
    gc.collect()
    thing = Thing.objects.create(name="Old")
    thing.name = "New"
    thing.save()
    thing.delete()
    entries = Entry.objects.filter(model_label="things.Thing").order_by("id")
    assert [entry.action for entry in entries] == ["create", "update", "delete"]


@pytest.mark.parametrize(
    "name",
    [
        *("password", "user_password", "userPassword", "PASSWORD", "passwords", "old_password_2"),
        *("passwd", "db_passwd", "pwd", "PWD", "new_pwd", "passphrase", "key_passphrase"),
        *("secret", "client_secret", "clientSecret", "secrets", "secret_hash", "Secret1"),
        *("token", "access_token", "HTTPToken", "tokens", "refreshTokens", "token2", "token_id"),
        *("apikey", "api_key", "apiKey", "API_KEY", "api_keys", "stripe_api_key"),
        *("private_key", "privateKey", "access_key", "aws_access_key_id", "signing_key"),
        *("session_key", "sessionKey", "otp", "otp_code", "totp_otp", "recovery_code"),
        *("recovery_codes", "recoveryCodes", "credential", "credentials", "pin", "card_pin"),
        *("PIN", "cardPIN", "pins", "pin4"),
    ],
)
def test_a_name_with_a_secret_word_is_masked(name: str) -> None:
    assert registry.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("shipping", "pinned", "pinned_at", "opinion", "spin", "pinterest", "is_shipping_free"),
        *("tokenize", "tokenizer", "tokenized_at", "secretary", "secretariat", "nonsecretive"),
        *("passworded", "compass", "key", "keys", "primary_key", "foreign_key", "public_key"),
        *("api", "private", "access", "session", "keyboard", "recovery", "code", "credentialed"),
        *("laptop", "potpie", "crowdpwdx", "accredential", "name", "", "_", "title"),
    ],
)
def test_a_name_that_only_looks_like_a_secret_word_is_not_masked(name: str) -> None:
    assert not registry.is_secret(name)


@isolate_apps("apps.audit.tests.examples")
def test_secret_fields_are_masked_whatever_the_options_say() -> None:
    class Thing(Example):
        clientSecret = models.CharField(max_length=50)  # noqa: N815  how some name their fields
        shipping = models.CharField(max_length=50)
        otpDevices = models.ManyToManyField("self", related_name="+")  # noqa: N815

        class Meta(Example.Meta):
            db_table = "thing"

    registry.register(Thing, mask=["shipping"])
    assert registry.audited_models()[Thing].masked == {"clientSecret", "shipping", "otpDevices"}
    registry.register(Thing)
    assert registry.audited_models()[Thing].masked == {"clientSecret", "otpDevices"}
    assert registry.is_masked(Thing, "clientSecret")
    assert not registry.is_masked(Thing, "shipping")


def names_of(instance: models.Model) -> list[str]:
    return [entry.object_repr for entry in Entry.objects.of(instance).reverse()]


def test_the_name_of_an_object_is_the_column_that_is_asked_for() -> None:
    register(Article, name="code")
    article = Article.objects.create(title="One", code="ABC")
    Article.objects.update(code=None)
    Article.objects.update(code="x" * 50)
    assert names_of(article) == ["abc", "", "x" * 50]


def test_a_name_that_is_no_text_and_one_that_is_too_long() -> None:
    register(Article, name="reads")
    assert names_of(Article.objects.create(title="One", reads=7)) == ["7"]
    register(Article, name="body")
    assert names_of(Article.objects.create(title="One", body="é" * 300)) == ["é" * 200]


@pytest.mark.parametrize("option", ["mask", "exclude"])
def test_a_name_that_is_masked_or_excluded_is_none(option: str) -> None:
    register(Article, **{option: ["title"]})
    assert names_of(Article.objects.create(title="One")) == [""]
    # Asking for the name makes no difference, and another one is not taken in its place.
    register(Article, name="title", **{option: ["title"]})
    article = Article.objects.create(title="Two")
    article.tags.create(slug="a")
    pk = article.pk
    article.delete()
    assert set(names_of(Article(pk=pk))) == {""}


@isolate_apps("apps.audit.tests.examples")
def test_a_name_that_is_generated_from_a_masked_or_excluded_field_is_none() -> None:
    class Person(Example):
        first = models.CharField(max_length=50)
        last = models.CharField(max_length=50)
        name = models.GeneratedField(
            expression=Concat("first", models.Value(" "), Upper("last")),
            output_field=models.CharField(max_length=101),
            db_persist=True,
        )

    options: list[dict[str, Any]] = [{"mask": ["last"]}, {"exclude": ["first"], "name": "name"}]
    for given in options:
        registry.register(Person, **given)
        assert registry.audited_models()[Person].name is None
    registry.register(Person)
    assert registry.audited_models()[Person].name is Person._meta.get_field("name")


def test_a_child_has_the_name_of_its_parent() -> None:
    hotel = Hotel.objects.create(name="One", beds=1)
    Place.objects.update(name="Two")
    Hotel.objects.update(beds=2)
    hotel.delete()
    labels = ("audit_examples.Place", "audit_examples.Hotel")
    place, child = (
        [e.object_repr for e in Entry.objects.filter(model_label=label).order_by("pk")]
        for label in labels
    )
    assert place == ["One", "Two", "Two"]
    assert child == ["One", "Two", "Two"]


@isolate_apps("apps.audit.tests.examples")
def test_the_usual_names_are_tried_in_order() -> None:
    class Mail(Example):
        email = models.CharField(max_length=50)
        subject = models.CharField(max_length=50)
        slug = models.CharField(max_length=50)

        class Meta(Example.Meta):
            pass

    class Number(Example):
        number = models.IntegerField()

        class Meta(Example.Meta):
            pass

    registry.register(Mail)
    registry.register(Number)
    found = registry.audited_models()
    assert found[Mail].name is Mail._meta.get_field("slug")
    assert found[Number].name is None
    registry.register(Mail, name="email")
    assert registry.audited_models()[Mail].name is Mail._meta.get_field("email")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"name='titel' of .*Article.* mean 'title'\?"):
        registry.register(Article, name="titel")


def test_a_refused_call_leaves_what_was_registered_before() -> None:
    registry.register(Article, mask=["title"])
    for options in ({"mask": ["titel"]}, {"exclude": "body"}, {"name": "titel"}):
        wrong: Any = options
        with pytest.raises(ImproperlyConfigured):
            registry.register(Article, **wrong)
    assert "title" in registry.audited_models()[Article].masked
    assert "body" in recorded_of(Article)


def test_the_settings_can_say_what_a_call_can(settings: Any) -> None:
    registry._registered.clear()
    settings.AUDITED_MODELS = {
        "audit_examples.Article": {"exclude": ["body"], "mask": ["title"], "name": "code"},
        "audit_examples.Author": {},
    }
    registry.register_settings()
    found = registry.audited_models()
    assert [*found] == [Article, Author]
    assert "body" not in recorded_of(Article)
    assert found[Article].masked == {"title", "access_token"}
    assert found[Article].name is Article._meta.get_field("code")


@pytest.mark.parametrize(
    "options", [{"maks": ["title"]}, ["title"], None, "title", {"name": ["title"]}]
)
def test_options_in_the_settings_that_are_none_are_refused(options: Any, settings: Any) -> None:
    registry._registered.clear()
    settings.AUDITED_MODELS = {"audit_examples.Article": options}
    with pytest.raises(ImproperlyConfigured, match=r"gives audit_examples.Article the options"):
        registry.register_settings()


@isolate_apps("apps.audit.tests.examples")
def test_a_field_that_links_in_a_way_of_its_own_is_refused() -> None:
    class Tags(models.Field):
        """Like the field of django-taggit: no many-to-many field, and listed as one."""

    class Thing(Example):
        class Meta(Example.Meta):
            pass

    labels: Any = Tags(name="labels")
    labels.concrete = False
    Thing._meta.local_many_to_many.append(labels)
    with pytest.raises(
        ImproperlyConfigured, match=r"'labels' of .*Thing, whose links are kept in a way"
    ):
        registry.register(Thing)
    assert Thing not in registry.audited_models()


@isolate_apps("apps.audit.tests.examples")
def test_sorted_links_are_refused_unless_left_out() -> None:
    class Thing(Example):
        related = models.ManyToManyField("self")

        class Meta(Example.Meta):
            pass

    through: Any = Thing.related.through
    models.IntegerField().contribute_to_class(through, "sort_value")
    with pytest.raises(
        ImproperlyConfigured, match=r"'related' of .*Thing, whose links hold more than two"
    ):
        registry.register(Thing)
    registry.register(Thing, exclude=["related"])
    assert registry.audited_models()[Thing].many == ()


@isolate_apps("apps.audit.tests.examples")
def test_a_join_table_can_have_an_audited_model_too() -> None:
    class Tagging(Example):
        article = models.ForeignKey(Article, models.DO_NOTHING, related_name="+")

        class Meta(Example.Meta):
            managed = False
            db_table = Article.tags.through._meta.db_table

    register(Tagging)
    article = Article.objects.create(title="One")
    article.tags.create(slug="a")
    row = Tagging.objects.get()
    assert actions(row) == ["create"]
    assert last_change(article)["tags"] == {"added": ["a"], "removed": []}
    article.tags.clear()
    assert actions(row) == ["create", "delete"]
    assert last_change(article)["tags"] == {"added": [], "removed": ["a"]}
