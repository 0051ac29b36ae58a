"""The broker that is a folder, made safe for readers and writers at the same time."""

from pathlib import Path
from time import time_ns
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Kombu's channel, but a message appears in the folder when it is complete.

    Kombu writes it in place. A worker that looks meanwhile, or after the writer was killed,
    reads half a message, stops with an error and has lost the job.
    """

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        file = Path(self.data_folder_out, f"{time_ns()}_{uuid4()}.{queue}.msg")
        # Readers skip this name.
        unfinished = file.with_name(f"{file.name}.unfinished")
        unfinished.write_text(dumps(payload), encoding="utf-8")
        unfinished.replace(file)


class Transport(filesystem.Transport):
    """Kombu's transport ``filesystem`` with the channel above."""

    Channel = Channel
