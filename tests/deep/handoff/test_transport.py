"""The folder as a broker: nobody reads half a message."""

from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection


def test_a_message_is_seen_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path)
    options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
    with (
        Connection(
            "localhost", transport="apps.handoff.transport:Transport", transport_options=options
        ) as connection,
        connection.SimpleQueue("jobs") as queue,
    ):
        with monkeypatch.context() as killed:
            # The writer ends before its last step.
            killed.setattr(Path, "replace", lambda *arguments: None)
            queue.put({"number": 1})
        with pytest.raises(Empty):
            queue.get_nowait()

        queue.put({"number": 2})
        message = queue.get_nowait()

        assert message.payload == {"number": 2}
        message.ack()
