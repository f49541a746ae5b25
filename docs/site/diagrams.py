"""Diagrams in Mermaid become pictures when the site is made, so that a reader needs no script for them."""

from __future__ import annotations

import hashlib

import mermaidx
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx


class Mermaid(Directive):
    """A block whose language is ``mermaid``."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the picture, within the page: its text can be found and copied."""
        source = "\n".join(self.content)
        try:
            picture = mermaidx.render(source).svg()
        except RuntimeError as error:
            raise self.error(f"this diagram cannot be drawn: {error}") from error
        # Styles name the picture by its id, which a page must have once.
        name = "diagram-" + hashlib.blake2b(source.encode(), digest_size=4).hexdigest()
        picture = picture.replace("my-svg", name)
        return [nodes.raw("", f'<div class="diagram">{picture}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True}
