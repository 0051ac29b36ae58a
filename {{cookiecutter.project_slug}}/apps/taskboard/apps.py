from apps.core import modules


class TaskboardConfig(modules.ModuleConfig):
    name = "apps.taskboard"
    verbose_name = "Taskboard"
    summary = "Projects and tasks: an example of every signal pattern."
    navigation = (("Tasks", "taskboard:index"),)

    def ready(self) -> None:
        from . import receivers  # noqa: F401
