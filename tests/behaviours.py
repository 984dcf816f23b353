"""Prints the behaviours that the tests prove: each test's name as a sentence, grouped by file.

python -m tests.behaviours
"""

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def main() -> None:
    """Print the list, followed by the number of behaviours."""
    count = 0
    for path in sorted(TESTS.rglob("test_*.py")):
        names = names_of_tests(path.read_text(encoding="utf-8"))
        if names:
            print(f"\n{path.relative_to(TESTS)}")
        for name in names:
            print(f"  - {as_sentence(name)}")
        count += len(names)
    print(f"\n{count} behaviours")


def names_of_tests(source: str) -> list[str]:
    """Return the names of a file's test functions, in file order."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def as_sentence(name: str) -> str:
    """Return a test's name as a sentence: `test_a_run_resumes` is "A run resumes"."""
    words = name.removeprefix("test_").replace("_", " ")
    return words[:1].upper() + words[1:]


if __name__ == "__main__":
    main()
