"""Text from files, on its way to a terminal."""

LONGEST_LINE = 1800


def printable(line: str) -> str:
    """Escape codes that a file's author put into a name are shown, not obeyed; a long line is cut."""
    cut = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}... ({len(line)} characters)"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def say_lines(text: str) -> None:
    """Print lines of our own that hold texts from files."""
    print("\n".join(map(printable, text.split("\n"))))
