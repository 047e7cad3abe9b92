"""What is said where a function cannot be differentiated."""

import re

from numba.core.errors import NumbaError, TypingError

START = "No derivative:"
DUAL = r"Dual\((?:Dual\()?\w+, \d+(?:\), \d+)?\)"
WAYS_OUT = 'Write the gradient yourself (`jac`), or have differences (`jac="2-point"`).'


def refusal(error: Exception) -> Exception:
    """Return the error for a function that does not compile for dual numbers, in one sentence."""
    text = str(error)
    if not isinstance(error, NumbaError):
        what = f"{type(error).__name__}: {text}"
        return TypingError(
            f"{START} Numba has no code for what is done with x ({what}). {WAYS_OUT}"
        )
    said = re.search(rf"{START} .*", text)
    if said:
        return TypingError(re.sub(DUAL, "a number that depends on x", said.group()))
    if "Dual(" not in text:
        return error
    return TypingError(f"{START} {_reason(text)}{_place(text)}. {WAYS_OUT}")


def _reason(text: str) -> str:
    call = re.search(r">>> ([\w.]+)\(", text)
    attribute = re.search(r"Unknown attribute '(\w+)' of type (array)?", text)
    if attribute:
        return (
            f"there is no rule for `.{attribute.group(1)}` of {attribute.group(2) or 'a number'}s"
        )
    if call and call.group(1) == "setitem":
        return "an array that holds floats is given a number that depends on x: make it with `np.zeros`"
    if call:
        return f"there is no rule for `{call.group(1)}`"
    lines = [line.strip() for line in text.splitlines() if "Dual(" in line]
    return re.sub(DUAL, "a number that depends on x", lines[0])


def _place(text: str) -> str:
    place = re.findall(r'File "([^"]*)", line (\d+):', text)
    return f" ({place[-1][0]}, line {place[-1][1]})" if place else ""
