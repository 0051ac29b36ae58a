import logging

from apps.core import modules

logger = logging.getLogger(__name__)


class CoreConfig(modules.ModuleConfig):
    name = "apps.core"
    verbose_name = "Core"
    summary = "Receivers, the acting user, jobs after the commit, this page and the health check."

    def ready(self) -> None:
        from .dispatch import check_links

        check_links()

    def health(self) -> modules.Health | None:
        """Say when every page would fail, because the static files have not been collected."""
        from django.contrib.staticfiles.storage import staticfiles_storage

        if getattr(staticfiles_storage, "hashed_files", None) != {}:
            return None
        logger.error("There are no static files: run manage.py collectstatic, then start again.")
        return modules.Health.UNAVAILABLE
