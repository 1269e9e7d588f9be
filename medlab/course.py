"""Lessons as programs: find them, run them with other parameters, refresh what is stored of them."""

from __future__ import annotations

import ast
import contextlib
import difflib
import logging
import os
import re
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode

from medlab import solving
from medlab.hygiene import hygiene, normalise

LESSON_PATTERN = "[0-9][0-9]_*.ipynb"
LIMIT_S = 1800.0  # a lesson with its defaults takes two minutes at most on two cores; this is for slow machines


@dataclass(frozen=True)
class Run:
    """What became of one lesson; ``peak_mib`` is the most memory its kernel held, None where that is unknown."""

    lesson: str
    seconds: float
    peak_mib: float | None
    error: str | None = None


# Finding lessons -----------------------------------------------------------------------------------------------------


def notebooks_folder() -> Path:
    """The folder with the lessons: ``notebooks/`` here, in a folder above, or beside the installed package.

    Raises:
        FileNotFoundError: There is none; lessons come with the repository, not with the package.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if any((folder / "notebooks").glob(LESSON_PATTERN)):
            return folder / "notebooks"
    raise FileNotFoundError(
        "no folder notebooks/ with lessons here or above; run medlab inside a checkout of the repository"
    )


def find(folder: Path) -> list[Path]:
    """All lessons of a folder, in course order."""
    return sorted(folder.glob(LESSON_PATTERN))


def resolve(name: str, lessons: Iterable[Path]) -> Path:
    """The lesson that a learner means by ``30``, ``30_unet_2d`` or ``30_unet_2d.ipynb``.

    Raises:
        ValueError: No lesson has that name.
    """
    lessons = list(lessons)
    wanted = Path(name).name.removesuffix(".ipynb")
    for lesson in lessons:
        if wanted in (lesson.stem, lesson.stem.split("_")[0]):
            return lesson
    stems = [lesson.stem for lesson in lessons]
    close = difflib.get_close_matches(wanted, stems, cutoff=0.5) or [stem for stem in stems if wanted.lower() in stem]
    raise ValueError(f"there is no lesson {name!r}; {_did_you_mean(close)}the lessons are: {', '.join(stems)}")


def _did_you_mean(close: list[str]) -> str:
    return f"did you mean {' or '.join(close)}? " if close else ""


# Parameters ----------------------------------------------------------------------------------------------------------


def parameters(notebook: NotebookNode) -> dict[str, str]:
    """Names that a lesson lets one set, with the source text of their defaults, in order; empty when there are none."""
    found = {}
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            for statement in ast.parse(cell.source).body:
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                    found[statement.targets[0].id] = ast.unparse(statement.value)
    return found


def parse_value(text: str) -> bool | int | float | str | None:
    """A parameter's value as papermill reads it: ``True``, ``False``, ``None``, a whole number, a number, else text."""
    words: dict[str, bool | None] = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def full_parameters(lesson: Path) -> dict[str, Any]:
    """The parameters of a lesson's full run, from ``full.toml`` beside it.

    Raises:
        ValueError: The lesson has no entry there.
    """
    path = lesson.parent / "full.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if lesson.stem not in entries:
        have = ", ".join(sorted(entries)) or "none"
        raise ValueError(f"{lesson.stem} has no full run (full.toml has no entry [{lesson.stem}]); full runs: {have}")
    return dict(entries[lesson.stem])


def refuse_unknown(lesson: Path, given: Iterable[str]) -> None:
    """Raise ValueError for a parameter that a lesson does not have; papermill would only warn, and run without it."""
    allowed = parameters(nbformat.read(lesson, as_version=4))
    for name in given:
        if name not in allowed:
            close = _did_you_mean(difflib.get_close_matches(name, allowed))
            table = ", ".join(f"{key} (default {default})" for key, default in allowed.items()) or "none"
            raise ValueError(f"{lesson.stem} has no parameter {name!r}; {close}it has: {table}")


# Running -------------------------------------------------------------------------------------------------------------


def execute(
    lesson: Path,
    output: Path,
    values: Mapping[str, Any] | None = None,
    *,
    solved: bool = False,
    limit_s: float = LIMIT_S,
    progress: bool = False,
) -> Run:
    """Run one lesson through papermill, in its own folder, and keep the executed notebook.

    A lesson that fails is kept too, up to and including its error. The output appears in one piece, when the run is
    over. The learner's record of progress is neither read nor written.

    Args:
        lesson: The notebook.
        output: Where the executed notebook goes; its folder is made.
        values: Parameters that replace the lesson's defaults.
        solved: Put every solution into its stub cell first; then each check must say `correct`.
        limit_s: Wall time in seconds that the cells may take together; then the run is stopped.
        progress: Whether to show a progress bar over the cells.

    Raises:
        ValueError: The lesson has no parameter of that name.
    """
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it reports as a log line is in the verdict
    notebook = nbformat.read(lesson, as_version=4)
    refuse_unknown(lesson, values or {})
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.{os.getpid()}.ipynb")
    if solved:
        notebook = solving.solve(notebook)
    nbformat.write(notebook, partial)
    started, deadline = time.monotonic(), _Deadline(limit_s)
    error = None
    with _PeakMemory() as memory, _no_progress_record():
        try:
            papermill.execute_notebook(
                str(partial),
                str(partial),
                dict(values or {}),
                cwd=str(lesson.parent),
                kernel_name="python3",
                language="python",
                extra_arguments=["--log-level=CRITICAL"],
                progress_bar={"desc": lesson.stem} if progress else False,
                timeout_func=deadline.seconds_left,
                on_cell_executed=memory.look,
            )
        except papermill.PapermillExecutionError as failure:
            error = f"{_place(notebook, failure.source)}: {failure.ename}: {failure.evalue}"
        except TimeoutError:
            error = f"{_place(notebook, deadline.cell_source)}: stopped, the lesson's {limit_s:g} s were over"
        except RuntimeError as failure:  # nbclient's DeadKernelError is one
            error = f"{_place(notebook, deadline.cell_source)}: {failure} (the usual reason is too little memory)"
        finally:
            partial.replace(output)
    if solved and error is None:
        error = "; ".join(solving.not_correct(nbformat.read(output, as_version=4))) or None
    return Run(lesson.stem, time.monotonic() - started, memory.peak_mib, error)


@contextlib.contextmanager
def _no_progress_record() -> Iterator[None]:
    """Kernels started in here keep no record: a prediction that the learner once locked would change the outputs."""
    before = os.environ.get("MEDLAB_PROGRESS")
    os.environ["MEDLAB_PROGRESS"] = "off"
    try:
        yield
    finally:
        os.environ.pop("MEDLAB_PROGRESS")
        if before is not None:
            os.environ["MEDLAB_PROGRESS"] = before


class _Deadline:
    """A time limit for all cells together, in the form that nbclient asks for: seconds left, before each cell."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.first_asked: float | None = None  # a kernel that starts slowly does not count
        self.cell_source = ""

    def seconds_left(self, cell: NotebookNode) -> int:
        now = time.monotonic()
        self.first_asked = self.first_asked or now
        self.cell_source = cell.source
        return max(1, round(self.first_asked + self.limit_s - now))


class _PeakMemory:
    """Watches the processes that this one has started; the largest of them is the kernel."""

    def __init__(self) -> None:
        self.peak_mib: float | None = None
        self._over, self._looking = threading.Event(), threading.Lock()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _PeakMemory:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()

    def look(self, **_: object) -> None:
        """Look once; called after every cell too, as a kernel may be gone before the watcher comes round again."""
        with self._looking:
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error, OSError):
                    self.peak_mib = max(self.peak_mib or 0.0, _peak_mib(child))

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.look()


def _peak_mib(process: psutil.Process) -> float:
    """Most memory that a process has held so far; on macOS, which keeps no such figure, what it holds now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        peak_kib = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        return int(peak_kib[1]) / 1024 if peak_kib else 0.0
    memory = process.memory_info()
    return getattr(memory, "peak_wset", memory.rss) / 2**20


def _place(notebook: NotebookNode, source: str) -> str:
    """Name a code cell by the number that its prompt shows, its id and its first line."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    first_line = next((line for line in source.splitlines() if line.strip()), "")
    for number, cell in enumerate(code, start=1):
        if cell.source == source:
            return f"code cell {number} (id {cell.id}), `{first_line}`"
    return f"the injected parameters, `{first_line}`"


def table(runs: Iterable[Run]) -> str:
    """A line for each run: lesson, minutes, peak memory, verdict."""
    lines = [f"{'lesson':34} {'minutes':>7} {'peak memory':>12}  verdict"]
    for run in runs:
        memory = f"{run.peak_mib:.0f} MiB" if run.peak_mib else "unknown"
        lines.append(f"{run.lesson:34} {run.seconds / 60:7.1f} {memory:>12}  {'FAILED' if run.error else 'ok'}")
    return "\n".join(lines)


# Refreshing stored outputs ------------------------------------------------------------------------------------------


def refresh(lesson: Path) -> Run:
    """Run a lesson with its defaults and, if it comes through, store it again in its normal form."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, lesson.name)
        run = execute(lesson, output, progress=sys.stderr.isatty())
        if run.error is None:
            store(normalise(nbformat.read(output, as_version=4)), lesson)
    return run


def store(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook in one piece: beside its place, then renamed; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}")
    beside.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    beside.replace(path)


def main(names: list[str]) -> int:
    """``make notebooks``: refresh the stored outputs of the named lessons, or of all, and say what is wrong."""
    lessons = find(notebooks_folder())
    runs = []
    for lesson in [resolve(name, lessons) for name in names] or lessons:
        runs.append(refresh(lesson))
        for problem in [runs[-1].error] if runs[-1].error else hygiene(lesson):
            print(f"{lesson.stem}: {problem}", file=sys.stderr)
    print(table(runs))
    return int(any(run.error for run in runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
