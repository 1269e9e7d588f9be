"""The `medlab` command: doctor, data, run, zoo, course, progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import medlab

# Modules are imported where they are needed: `medlab data list` must not wait for torch.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 something failed, 2 the command made no sense.

    What a user can put right ends in one message on stderr, without a traceback.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except KeyboardInterrupt:
        print("medlab: interrupted", file=sys.stderr)
        return 130
    except ValueError as error:
        print(f"medlab: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"medlab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlab", description="Deep learning on medical images: course and workbench."
    )
    parser.add_argument("--version", action="version", version=f"medlab {medlab.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="what is installed, what the data folder holds, what to do")
    doctor.set_defaults(command=_doctor)

    data = commands.add_parser("data", help="list, show, fetch and verify public data sets")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the data sets, with task, licence and size")
    listing.set_defaults(command=_data_list)
    show = actions.add_parser("show", help="all that is known about one data set")
    show.add_argument("name", metavar="NAME")
    show.set_defaults(command=_data_show)
    fetch = actions.add_parser("fetch", help="download a data set into the data folder")
    fetch.add_argument("name", metavar="NAME")
    fetch.add_argument("--part", help="for sets that come in several, such as a size of MedMNIST")
    fetch.set_defaults(command=_data_fetch)
    verify = actions.add_parser("verify", help="check the files of one set, or of all that are here, without a network")
    verify.add_argument("name", metavar="NAME", nargs="?")
    verify.set_defaults(command=_data_verify)

    run = commands.add_parser("run", help="run lessons from top to bottom, with other parameters if you like")
    run.add_argument("lessons", metavar="LESSON", nargs="*", help="30, 30_unet_2d or 30_unet_2d.ipynb; none: all")
    run.add_argument("--full", action="store_true", help="with the parameters of the full run (notebooks/full.toml)")
    run.add_argument(
        *("-p", "--parameter"),
        nargs=2,
        metavar=("NAME", "VALUE"),
        action="append",
        default=[],
        dest="parameters",
        help="set a parameter; give -p as often as you like",
    )
    run.add_argument("--solved", action="store_true", help="with every solution in its place; each check must pass")
    run.add_argument("--output", type=Path, default=Path("build"), help="folder of the executed lessons (build)")
    run.add_argument("--limit", type=float, metavar="MINUTES", help="stop a lesson after this long (30, full run 240)")
    run.set_defaults(command=_run)

    zoo = commands.add_parser("zoo", help="list, show and train the models that come with medlab")
    actions = zoo.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the models, with task, data, licence, size and held-out score")
    listing.set_defaults(command=_zoo_list)
    show = actions.add_parser("show", help="the card of one model: data, recipe, scores, known failures")
    show.add_argument("name", metavar="NAME")
    show.set_defaults(command=_zoo_show)
    train = actions.add_parser("train", help="train a model by its recipe, score it, and write its weights and card")
    train.add_argument("name", metavar="NAME")
    train.add_argument("--output", type=Path, help="folder to write into (build/zoo/NAME)")
    train.add_argument("--steps", type=int, help="fewer training steps than the recipe's, to try it out")
    train.set_defaults(command=_zoo_train)

    course = commands.add_parser("course", help="write the lessons in a form to hand out")
    course.add_argument("kind", choices=("student", "solved", "nbgrader"), help="without outputs; solved; for nbgrader")
    course.add_argument("lessons", metavar="LESSON", nargs="*", help="30, 30_unet_2d or 30_unet_2d.ipynb; none: all")
    course.add_argument("--output", type=Path, help="folder to write into (build/KIND)")
    course.set_defaults(command=_course)

    progress = commands.add_parser("progress", help="your attempts, hints and predictions, from this machine")
    progress.add_argument("--picture", type=Path, metavar="FILE", help="draw it, too, into a PNG, SVG or PDF file")
    progress.set_defaults(command=_progress)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from medlab.checkup import doctor

    return 0 if doctor() else 1


def _data_list(options: argparse.Namespace) -> int:
    from medlab import manifests

    _print_table(("name", "modality", "anatomy", "task", "licence", "size", "here"), manifests.table())
    return 0


def _print_table(columns: Sequence[str], table: Sequence[Mapping[str, str]]) -> None:
    rows = [columns, *([row[column] for column in columns] for row in table)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _data_show(options: argparse.Namespace) -> int:
    from medlab import manifests

    print(manifests.describe(options.name))
    return 0


def _data_fetch(options: argparse.Namespace) -> int:
    from medlab import manifests

    print(manifests.fetch(options.name, part=options.part))
    return 0


def _data_verify(options: argparse.Namespace) -> int:
    from medlab import manifests

    names = [options.name] if options.name else [row["name"] for row in manifests.table() if row["here"]]
    audits = [manifests.verify(name) for name in names]
    print("\n".join(map(str, audits)) or "no public data set is on this machine")
    return 1 if any(audit.problems for audit in audits) else 0


def _run(options: argparse.Namespace) -> int:
    from medlab import course

    chosen = _chosen(options.lessons)
    values = {name: course.parse_value(value) for name, value in options.parameters}
    minutes = options.limit or (240 if options.full else 30)
    jobs = [(lesson, {**(course.full_parameters(lesson) if options.full else {}), **values}) for lesson in chosen]
    for lesson, parameters in jobs:  # a mistyped name must not wait until the lessons before it are over
        course.refuse_unknown(lesson, parameters)
    runs = []
    for lesson, parameters in jobs:
        output = options.output / lesson.name
        run = course.execute(
            *(lesson, output, parameters),
            solved=options.solved,
            limit_s=60 * minutes,
            progress=sys.stderr.isatty(),
        )
        runs.append(run)
    print(course.table(runs))
    for run in runs:
        if run.error:
            print(f"{run.lesson}, {run.error}", file=sys.stderr)
    return 1 if any(run.error for run in runs) else 0


def _chosen(names: Sequence[str]) -> list[Path]:
    """The lessons of these names, or all."""
    from medlab import course

    lessons = course.find(course.notebooks_folder())
    return [course.resolve(name, lessons) for name in names] or lessons


def _zoo_list(options: argparse.Namespace) -> int:
    from medlab.zoo import cards

    _print_table(("name", "task", "data", "licence", "size", "score"), cards.table())
    return 0


def _zoo_show(options: argparse.Namespace) -> int:
    from medlab.zoo import cards

    print(cards.read(options.name))
    return 0


def _zoo_train(options: argparse.Namespace) -> int:
    from medlab.zoo import making

    folder = options.output or Path("build", "zoo", options.name)
    print(making.make(options.name, folder, steps=options.steps, progress=sys.stderr.isatty()))
    print(f"\nWritten into {folder}")
    return 0


def _course(options: argparse.Namespace) -> int:
    from medlab import editions

    folder = options.output or Path("build", options.kind)
    for path in editions.build(options.kind, _chosen(options.lessons), folder):
        print(path)
    return 0


def _progress(options: argparse.Namespace) -> int:
    from medlab import exercises, progress

    titles = exercises.titles()
    print(progress.table(titles))
    if options.picture:
        progress.picture(titles).savefig(options.picture)
        print(options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
