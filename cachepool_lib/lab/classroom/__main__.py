"""What a class needs, in the project's folder: `python -m cachepool_lib.lab.classroom COMMAND`."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from cachepool_lib.lab.command import run


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cachepool_lib.lab.classroom")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="say whether the course runs on this machine")
    grade = commands.add_parser("grade", help="look at the exercises that were handed in")
    grade.add_argument("place", type=Path, help="folder or archive of NAME.ipynb or NAME/….ipynb")
    grade.add_argument("--to", type=Path, default="grades.csv", help="the table (grades.csv)")
    commands.add_parser("handout", help="write archives of copies for a class to dist/")
    guide = commands.add_parser("guide", help="write the instructor's guide, dist/guide.html")
    guide.add_argument("start", nargs="?", default="09:00", help="when a notebook begins (09:00)")
    stick = commands.add_parser("stick", help="put all that a room without network needs in dist/")
    stick.add_argument("--pythons", nargs="*", help="versions, such as 3.12 (this one)")
    stick.add_argument("--platforms", nargs="*", help="such as windows-x86_64 (this one)")
    given = parser.parse_args(arguments)
    try:
        return _do(given)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"✗ {error.name} is not installed. Run `make doctor`, which installs it, or:")
        print(f"  {sys.executable} -m pip install -c constraints.txt -e '.[lab]'")
        return 1


def _do(given: argparse.Namespace) -> int:
    match given.command:
        case "doctor":
            from cachepool_lib.lab.classroom import doctor

            return doctor.main()
        case "grade":
            return _grade(given.place, given.to)
        case "handout":
            from cachepool_lib.lab.classroom.handout import make_handouts

            print(*make_handouts(), sep="\n")
            return 0
        case "guide":
            from cachepool_lib.lab.classroom.guide import make_guide

            print(make_guide(given.start))
            return 0
        case "stick":
            from cachepool_lib.lab.classroom.stick import make_stick

            for line in make_stick(given.pythons or (), given.platforms or ()):
                print(line, flush=True)
            return 0
    raise AssertionError(given.command)


def _grade(place: Path, table: Path) -> int:
    from cachepool_lib.lab.classroom import grading
    from cachepool_lib.lab.servers.services import ServicesError

    try:
        grades = grading.grade(place)
    except ServicesError as error:
        print(error, file=sys.stderr)
        return 2
    with table.open("w", encoding="utf-8", newline="") as file:
        grading.write(grades, file)
    counts = Counter(line.status for line in grades)
    told = ", ".join(f"{counts[status]} {status}" for status in grading.STATUSES if counts[status])
    print(f"{len({line.name for line in grades})} students, {told}: {table}")
    return 0


if __name__ == "__main__":
    run(main)
