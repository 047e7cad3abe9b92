"""How notebooks show a result: what it says, and a table."""

from collections.abc import Iterable, Sequence
from html import escape

ROWS = 12  # of a table, at most


def shown(
    message: str, rows: Iterable[Sequence[str]], head: Sequence[str] = (), more: int = 0
) -> str:
    """Return a message above a table, with every text escaped; `more` rows are left out."""
    lines = [_row(head, "th")] if head else []
    lines += [_row(row, "td") for row in rows]
    if more > 0:
        lines.append(f"<tr><td>and {more:,} more</td></tr>")
    return f"<p>{escape(message)}</p><table>{''.join(lines)}</table>"


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
