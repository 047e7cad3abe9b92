"""What is said where a function cannot be differentiated."""

import re

from numba.core.errors import NumbaError, TypingError

START = "No derivative:"
DUAL = r"Dual\((?:Dual\()?\w+, \d+(?:\), \d+)?\)"
OPERATORS = {"arr_fill": "fill", "and_": "&", "or_": "|", "xor": "^", "invert": "~", "lshift": "<<"}
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
        return TypingError(in_words(said.group()))
    if "Dual(" not in text:
        return error
    return TypingError(f"{START} {_reason(text)}{_place(text)}. {WAYS_OUT}")


def in_words(text: str) -> str:
    """Return a text of Numba's without the names of types that are none of its own."""
    return re.sub(DUAL, "a number that depends on x", text)


def _reason(text: str) -> str:
    call = re.search(r">>> ([\w.]+)\(", text) or re.search(r"of function Function\((\w+)\)", text)
    attribute = re.search(r"Unknown attribute '(\w+)' of type (array)?", text)
    if re.search(r">>> .*complex", text) or (call and call.group(1) == "complex"):
        return "complex numbers cannot depend on x"
    if method := re.search(r"\('duals', '(\w+)'\)", text):
        return f"there is no rule for `{method.group(1)}` of arrays with these arguments"
    if attribute:
        return f"there is no rule for `.{attribute.group(1)}` of {attribute.group(2) or 'number'}s"
    if call and call.group(1) == "setitem":
        return (
            "an array or list that holds floats is given a number that depends on x: make it in the"
            " same function, as an array of floats"
        )
    if call:
        return f"there is no rule for `{OPERATORS.get(call.group(1), call.group(1))}`"
    lines = [line.strip() for line in text.splitlines() if "Dual(" in line]
    return in_words(lines[0])


def _place(text: str) -> str:
    place = re.findall(r'File "([^"]*)", line (\d+):', text)
    return f" ({place[-1][0]}, line {place[-1][1]})" if place else ""
