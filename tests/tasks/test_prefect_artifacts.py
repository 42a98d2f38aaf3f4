"""What a flow run leaves to look at: links into the web app, and progress that is worth the request."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.prefect_artifacts import Progress, plots_markdown


@pytest.fixture
def told(monkeypatch) -> list[tuple[str, float]]:
    """What the server was asked for; the calls themselves are tried against a real one in tests/deployments."""
    import prefect.artifacts

    asked: list[tuple[str, float]] = []

    def create(progress: float, key: str, description: str) -> str:
        asked.append((key, progress))
        return key

    def update(artifact_id: Any, progress: float) -> None:
        asked.append((artifact_id, progress))

    monkeypatch.setattr(prefect.artifacts, "create_progress_artifact", create)
    monkeypatch.setattr(prefect.artifacts, "update_progress_artifact", update)
    return asked


def test_progress__moves_by_a_twentieth_and_to_the_end(told):
    progress = Progress(long_seconds=0)
    for share in (0.0, 0.01, 0.06, 0.07, 0.5, 0.98, 1.0, 1.0):
        progress.moved("training 1/2", share)
    assert told == [("progress-training-1-2", at) for at in (0.0, 6.0, 50.0, 98.0, 100.0)]


def test_progress__of_a_step_that_is_done_in_a_moment_is_not_told(told):
    progress = Progress()
    for share in (0.0, 0.5, 1.0):
        progress.moved("forecasting", share)
    assert told == []


def test_progress__that_a_server_does_not_take_stops_nothing(monkeypatch):
    import prefect.artifacts

    def refuses(**arguments: Any) -> None:
        raise ConnectionError("no server")

    monkeypatch.setattr(prefect.artifacts, "create_progress_artifact", refuses)
    Progress(long_seconds=0).moved("training", 0.5)


def test_plots__link_each_symbol_into_the_web_app_where_its_address_is_set(tmp_path):
    file = str(tmp_path / "forecasts.png")
    assert "| symbol |" not in plots_markdown([file], None, ["AAPL"])
    shown = plots_markdown([file], "http://127.0.0.1:8070", ["BRK-B", "^GSPC"])
    assert "| [BRK-B](http://127.0.0.1:8070/symbols/BRK-B) |" in shown
    assert "| [^GSPC](http://127.0.0.1:8070/symbols/%5EGSPC) |" in shown
