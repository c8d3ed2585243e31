"""Text of strangers: names of ops, tensors and files as they may be shown."""

LONGEST_NAME = 200  # characters of one name, or of an exception's words
LONGEST_LINE = 1_500
ENDING = 20
MOST_DIGITS = 30


def text_of(value: str | bytes) -> str:
    """A string of a file; protobuf gives bytes for one that is no UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def shown(text: object, most: int = LONGEST_NAME) -> str:
    """A text on one line, with what could steer a terminal escaped, and cut where it is too long.

    Everything from a file or an option goes through here before it is printed, drawn or written: names hold
    whatever their author wanted.

    Parameters
    ----------
    text : object
    most : int
        Characters that are kept; what is left out is counted in words.
    """
    whole = str(text)
    made: list[str] = []
    room = most
    for character in whole[: most + 1]:
        plain = character if character.isprintable() else ascii(character)[1:-1]
        room -= len(plain)
        if room < 0:
            return f"{''.join(made)}... ({len(whole)} characters)"
        made.append(plain)
    return "".join(made)


def shown_line(text: object) -> str:
    """A message on one line: each word is cut by itself, so that a long name does not hide the rest."""
    words = " ".join(str(text).splitlines()).split(" ")
    return shown(" ".join(word if len(word) <= LONGEST_NAME else _cut(word) for word in words), LONGEST_LINE)


def _cut(word: str) -> str:
    """The start and the end of a long word: what stands around a name tells what it is."""
    return f"{word[:LONGEST_NAME]}...{word[-ENDING:]}"


def whole_number(text: str) -> int | None:
    """The whole number that a text is; None where it is none, or has more digits than anyone means."""
    plain = text.strip()
    if len(plain) > MOST_DIGITS:
        return None
    try:
        return int(plain)
    except ValueError:
        return None
