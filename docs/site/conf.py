"""How Sphinx makes the site of the pages (`make docs`). docs/decisions/site.md says why it is Sphinx.

The pages are those that GitHub shows, where they are: the source folder is the root of the repository, so a
link leads to the same place here and there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import nonzero

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "client")]

project = "Nonzero"
author = "the authors of Nonzero"
copyright = author
version = release = nonzero.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "diagrams", "formulas"]
root_doc = "README"
include_patterns = ["*.md", "bench/*.md", "docs/**"]
exclude_patterns = [
    ".*",
    "bench/lib",
    "build",
    "client",
    "core",
    "dist",
    "docs/site",
    "findings",
    "service",
    "tests",
    "**/__pycache__",
]

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
nb_execution_mode = "off"  # their outputs are kept, and held to be true, by tests/test_notebooks.py

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
suppress_warnings = [
    "ref.python"
]  # a docstring's InputError may be that of the library or of the client: both are there

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"Nonzero {version}"
html_additional_pages = {"index": "to_readme.html"}
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = html_show_sourcelink = False
html_use_index = False
# A browser lets no page of file:// read another: a search there cannot show what is around what it found.
html_show_search_summary = False

LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+\.(?:md|ipynb))\)")


def navigation(page: Path) -> str:
    """Return the table of contents that a page of tables is: a part for each table, by the line above it."""
    parts: dict[str, dict[str, str]] = {}
    caption = ""
    for line in page.read_text().splitlines():
        if line.endswith(":") and not line.startswith("|"):
            caption = line.removesuffix(":")
        elif line.startswith("| ["):
            for title, link in LINK.findall(line.split("|")[1]):
                document = (page.parent / link).resolve().relative_to(ROOT).with_suffix("")
                parts.setdefault(caption, {})[str(document)] = title
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n"
        + "".join(f"{title} </{document}>\n" for document, title in part.items())
        + "```\n"
        for caption, part in parts.items()
    )


def add_navigation(app: Sphinx, document: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Give the first page what stands on the left of all pages, and the decisions theirs."""
    if document == root_doc:  # it is above all the others already, and the page of tables below it
        source[0] += navigation(ROOT / "docs/README.md").replace(
            f"README </{root_doc}>", "All pages </docs/README>"
        )
    elif document == "docs/decisions/README":
        source[0] += navigation(ROOT / "docs/decisions/README.md")


def setup(app: Sphinx) -> None:
    """Be an extension too."""
    app.connect("source-read", add_navigation)
