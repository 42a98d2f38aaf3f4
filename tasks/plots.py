"""Pictures of an evaluation in a folder: PNG for documents, one interactive page. Information; no step waits for them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.engine import step
from tasks.judging import judgement_of
from tasks.learning import challenger_of, model_of
from tasks.policies import COMPUTE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    from tasks.pictures import Pictures

PAGE = "evaluation.html"


@step(COMPUTE)
def draw(run: Run, origin: date) -> Receipt:
    """Draw the evaluation of the challenger into ``plots/RUN/ORIGIN`` of the home. What goes wrong here costs a remark."""
    from tasks.pictures import pictures_of

    folder = run.home.plots / run.run_id / str(origin)
    if (folder / PAGE).exists():
        return Receipt(text="drawn before")
    model_id = challenger_of(run, origin)
    judgement = judgement_of(run, model_id, origin)
    try:
        title = f"model {model_id[:16]}, judged on {judgement.evaluation.span[0]} to {judgement.evaluation.span[1]}"
        files = save(folder, pictures_of(title, judgement, model_of(run, model_id).card))
    except Exception as error:  # a picture is worth less than the day's forecasts
        run.note(f"no pictures of the evaluation of {origin}: {type(error).__name__}: {error}")
        return Receipt(text="no pictures")
    return Receipt(text=f"{len(files)} files in {folder}")


def drawn(run: Run) -> list[str]:
    """The files that ``draw`` left for this run, oldest origin first."""
    return [str(path) for path in sorted((run.home.plots / run.run_id).glob("*/*.*"))]


def save(folder: Path, pictures: Pictures) -> list[Path]:
    """Write all files of ``pictures``, the page last; each is whole or absent. OSError where the folder cannot be written."""
    from storage.home import write_durably
    from tasks.plots_html import html_page
    from tasks.plots_png import png_files

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, data in (*png_files(pictures).items(), (PAGE, html_page(pictures))):
        write_durably(folder / name, data, mode=0o644)
        files.append(folder / name)
    return files
