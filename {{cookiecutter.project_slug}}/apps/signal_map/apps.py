from collections.abc import Mapping

from django.conf import settings
from django.core.checks import Tags, register
from django.template.loader import render_to_string

from apps.core import modules, watch


class SignalMapConfig(modules.ModuleConfig):
    name = "apps.signal_map"
    verbose_name = "Signal map"
    summary = "Which receiver runs when: a command, a page, documents, checks and timing."

    def ready(self) -> None:
        from . import tracing
        from .checks import check_receivers

        register(check_receivers, Tags.signals)
        watch.watcher = tracing if settings.SIGNAL_TRACING else None

    def details(self) -> Mapping[str, str]:
        """List the receivers of each app; only in development, because it names files."""
        from .entries import read_entries

        if not settings.DEBUG:
            return {}
        entries = read_entries()
        return {
            config.label: render_to_string("signal_map/details.html", {"entries": found})
            for config in modules.module_configs()
            if (found := [entry for entry in entries if entry.is_part_of(config)])
        }
