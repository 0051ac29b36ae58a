"""The list of receivers: one entry for each receiver, signal and sender."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from django.apps import AppConfig, apps
from django.conf import settings
from django.dispatch import Signal
from django.utils.module_loading import import_string, module_has_submodule

from apps.core import dispatch
from apps.core.modules import Effect, ModuleConfig, module_configs

from .chains import Step, first_line, steps_of
from .live import (
    NAMELESS,
    Link,
    SignalName,
    all_signals,
    links_of,
    named_signals,
    phase_of,
    sender_label,
)
from .places import Place, function_of, place_of

# In the order in which a row, a request or a database causes them.
LIFE: Final = (
    "pre_init", "post_init", "pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed",
    "request_started", "request_finished", "got_request_exception",
    "pre_migrate", "post_migrate",
)  # fmt: skip
# Django's internal signals. Their receivers depend on the modules that are imported, and say
# nothing about the project.
INWARD: Final = ("django.core.", "django.db.backends.", "django.tasks.", "django.test.",
                 "django.utils.")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """A receiver that runs when a sender sends a signal, or an effect of an app without a receiver.

    ``phase`` is ``"in transaction"``, ``"when sent"``, ``"async"`` or ``"after commit"``.
    ``origin`` is ``"kit"`` or ``"connect()"`` for a receiver of the project. Otherwise it is the
    name of an installed package, or of the app with the effect. ``steps`` are the jobs that it
    queues and the signals that it sends.
    """

    sender: str
    signal: SignalName
    phase: str
    place: Place
    summary: str
    origin: str
    steps: tuple[Step, ...] = ()
    link: Link | None = field(default=None, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The signal and the sender, for a sentence."""
        return f"{self.signal.name} of {self.sender}"

    @property
    def is_inward(self) -> bool:
        """Whether an installed package listens to an internal signal of Django."""
        return not self.place.is_own and self.signal.module.startswith(INWARD)

    @property
    def apps(self) -> set[str]:
        """The labels of the apps that the receiver and its sender belong to."""
        found = {config.label for config in apps.get_app_configs() if self.is_part_of(config)}
        label, dot, _ = self.sender.partition(".")
        return found | ({label} if dot else set())

    def is_part_of(self, config: AppConfig) -> bool:
        """Return whether the function belongs to an app."""
        return f"{self.place.path}.".startswith(f"{config.name}.")


# Each filter compares these words. A model is also found without the label of its app.
FILTERS: Final[dict[str, Callable[[Entry], set[str]]]] = {
    "sender": lambda entry: {entry.sender, entry.sender.rpartition(".")[2]},
    "signal": lambda entry: {entry.signal.name},
    "app": lambda entry: entry.apps,
}


def read_entries() -> list[Entry]:
    """List all receivers by sender and signal, in the order in which they run.

    The sync receivers of a signal run in the order of their connection, then the async ones.

    Raises:
        ImportError: when a module that a server imports, or one of its imports, is missing.
    """
    _import_what_servers_import()
    names = named_signals()
    entries = [
        _effect(config, effect) for config in module_configs() for effect in config.effects()
    ]
    for signal in all_signals():
        name = names.get(signal, NAMELESS)
        entries += [
            _entry(link, name, names)
            for link in links_of(signal)
            # The kit itself connects to models that are defined later.
            if link.receiver is not None
            and getattr(function_of(link.receiver), "__module__", None) != dispatch.__name__
        ]
    entries.sort(key=_order)
    return entries


def _import_what_servers_import() -> None:
    import_module(settings.ROOT_URLCONF)
    for path in (*settings.MIDDLEWARE, *settings.AUTHENTICATION_BACKENDS):
        import_string(path)
    # ``migrate`` imports these too. Packages connect receivers of post_migrate there.
    for config in apps.get_app_configs():
        if module_has_submodule(config.module, "management"):
            import_module(f"{config.name}.management")


def entries_of(entries: Iterable[Entry], wanted: Mapping[str, Iterable[str]]) -> list[Entry]:
    """Choose entries by words for each of ``FILTERS``, in any case.

    Raises:
        LookupError: for a word that is no sender, signal or app. The message lists the known ones.
    """
    found = everything = list(entries)
    for kind, words_of in FILTERS.items():
        words = {word.casefold(): word for word in wanted[kind]}
        offered = {word for entry in everything for word in words_of(entry)}
        known = offered | _known(kind)
        for word in words.keys() - {word.casefold() for word in known}:
            raise LookupError(
                f"There is no {kind} {words[word]!r}."
                f" There are: {', '.join(sorted(offered or known))}."
            )
        found = [
            entry
            for entry in found
            if not words or words.keys() & {word.casefold() for word in words_of(entry)}
        ]
    return found


def _known(kind: str) -> set[str]:
    """Return words for a filter to which nothing need be connected."""
    if kind == "sender":
        models = apps.get_models(include_auto_created=True)
        return {word for model in models for word in (model._meta.label, model.__name__)}
    if kind == "signal":
        return {name.name for name in named_signals().values()}
    return {config.label for config in apps.get_app_configs()}


def is_of_django_itself(signal: SignalName) -> bool:
    """Return whether a signal is internal to Django, so that projects do not send it."""
    return signal.module.startswith(INWARD) and signal.name not in LIFE


def _entry(link: Link, name: SignalName, names: dict[Signal, SignalName]) -> Entry:
    how = dispatch.connected(link.receiver)
    after_commit = bool(how and how.after_commit)
    place = place_of(link.receiver)
    package = place.path.partition(".")[0]
    steps = steps_of(link.receiver, names) if place.is_own else ()
    return Entry(
        sender=sender_label(link.sender),
        signal=name,
        phase=phase_of(link.signal, after_commit=after_commit, is_async=link.is_async),
        place=place,
        summary=first_line(function_of(link.receiver)),
        origin="kit" if how else "connect()" if place.is_own else package,
        steps=tuple(step for step in steps if step.path != name.path),
        link=link,
    )


def _effect(config: ModuleConfig, effect: Effect) -> Entry:
    return Entry(
        sender=effect.sender,
        signal=SignalName(effect.event, ""),
        phase=effect.when,
        place=place_of(effect.function),
        summary=effect.summary,
        origin=config.label,
    )


def _order(entry: Entry) -> tuple[Any, ...]:
    sender, signal = entry.sender, entry.signal
    life = LIFE.index(signal.name) if signal.name in LIFE else len(LIFE)
    # The sort is stable, so equal entries keep the order of connection.
    key = (sender == "any sender", sender, life, signal.name, signal.module)
    return (*key, entry.phase == "async")
