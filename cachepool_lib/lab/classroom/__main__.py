"""What a class needs, in the project's folder: `python -m cachepool_lib.lab.classroom COMMAND`."""

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cachepool_lib.lab.classroom")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="say whether the course runs on this machine")
    parser.parse_args(arguments)
    try:
        from cachepool_lib.lab.classroom import doctor
    except ModuleNotFoundError as error:
        print(f"✗ {error.name} is not installed. Run `make doctor`, which installs it, or:")
        print(f"  {sys.executable} -m pip install -c constraints.txt -e '.[lab]'")
        return 1
    return doctor.main()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
