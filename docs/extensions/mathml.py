"""Formulas as MathML, made by docutils when the page is built: no script, and nothing from other hosts."""

from typing import Any

from docutils import nodes
from docutils.utils.math import pick_math_environment
from docutils.utils.math.latex2mathml import tex2mathml


def inline(self: Any, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    text = node.astext()
    if pick_math_environment(text) == "align*":
        text = rf"\begin{{align*}}{text}\end{{align*}}"
    self.body.append(f'<div class="formula">{tex2mathml(text, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
