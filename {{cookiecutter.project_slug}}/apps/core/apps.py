import logging

from django.contrib.staticfiles.storage import staticfiles_storage

from apps.core import dispatch, modules

logger = logging.getLogger(__name__)


class CoreConfig(modules.ModuleConfig):
    name = "apps.core"
    verbose_name = "Core"
    summary = "Receivers, the acting user, jobs after the commit, this page and the health check."

    def ready(self) -> None:
        dispatch.check_links()

    def health(self) -> modules.Health | None:
        """Return unavailable when no static files are collected, because every page would fail."""
        if getattr(staticfiles_storage, "hashed_files", None) != {}:
            return None
        logger.error("There are no static files; run manage.py collectstatic, then start again.")
        return modules.Health.UNAVAILABLE
