"""Places to point at: each displayed equation and each exercise of a chapter gets a link.

Equations are numbered through a chapter, (7.1), (7.2), ...; an exercise keeps its own number.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

CHAPTER = re.compile(r"notebooks/(\d\d)_")
EXERCISE = re.compile(r"(\d+|A)\.(\d+) ")


def mark(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Number the equations of a chapter and name its exercises."""
    chapter = CHAPTER.match(docname)
    if chapter:
        for count, equation in enumerate(doctree.findall(nodes.math_block), 1):
            equation["number"] = f"{int(chapter[1])}.{count}"
            equation["ids"].append(f"equation-{int(chapter[1])}-{count}")
    for paragraph in doctree.findall(nodes.paragraph):
        first = next((child for child in paragraph.children if child.astext()), None)
        found = isinstance(first, nodes.strong) and EXERCISE.match(first.astext())
        if found:
            name = f"exercise-{found[1]}-{found[2]}".lower()
            paragraph["ids"].append(name)
            link = f'<a class="headerlink" href="#{name}" title="Link to this exercise">#</a>'
            paragraph.append(nodes.raw("", link, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("doctree-resolved", mark)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
