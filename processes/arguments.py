"""The command line of programs that take no arguments: `--help` describes the program, and anything else is an error."""

import sys


def take_no_arguments(program: str, description: str | None) -> None:
    """Exit with help or an error if the module `program` was given any argument. Call this before it does anything.

    The help is the first paragraph of `description`. The exit status is 0 for `--help` and 2 for any other argument.
    """
    if len(sys.argv) < 2:
        return
    import argparse  # noqa: PLC0415  # the programs start faster without it

    paragraph = (description or "").partition("\n\n")[0]
    argparse.ArgumentParser(prog=f"python -m {program}", description=paragraph).parse_args()
