"""The site: Sphinx, with the pages of this folder, the examples' and SECURITY.md.

``tox -e docs`` builds it. The source folder is the repository's root, so that a link to any file of
it works on the site as it does in the repository. Which pages there are is said here, and
``index.md`` has the navigation.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    import click
    from sphinx.application import Sphinx

project = "sagemaker-inference"
release = metadata.version(project)
copyright = f"the authors of {project}"  # noqa: A001 - Sphinx's name

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    # GitHub Pages leaves out folders whose names begin with an underscore, unless told otherwise.
    "sphinx.ext.githubpages",
    "sphinx_click",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "examples/*/README.md",
    "benchmarks/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
# Folders with many files, which need not be searched for pages.
exclude_patterns = [".*", "site", "tests", "build", "dist"]

myst_enable_extensions = ["colon_fence"]
# Links may name headings down to this level.
myst_heading_anchors = 4

# In docstrings, a word between single backticks is a name.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
# An index.html that leads to docs/.
html_extra_path = ["root"]
# They make dashes of the hyphens of options.
smartquotes = False
# A copied line can be pasted into a terminal.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Servers on the reader's machine, and the platform's, which do not answer without a signature.
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost)", r"https://runtime\.sagemaker\."]
# Pages that are made by scripts have their anchors only in a browser.
linkcheck_anchors = False

_LINK = re.compile(r"\[([^\]]+)\]\(((?!https?://)[^)#]+)[^)]*\)")


def _unlink(app: Sphinx, name: str, source: list[str]) -> None:
    """Drop links to folders, and to Markdown files that are not pages: the site has neither."""
    folder = Path(app.srcdir, name).parent

    def replaced(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        is_page = app.project.path2doc(target) in app.project.docnames
        is_other = target.is_dir() or (target.suffix == ".md" and target.is_file() and not is_page)
        return match[1] if is_other else match[0]

    source[0] = _LINK.sub(replaced, source[0])


def _add_examples(_app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Add the examples of a command's help."""
    examples = getattr(context.command, "examples", ())
    if examples:
        lines += [".. code-block:: sh", "", *(f"   {project} {line}" for line in examples), ""]


def _set_dashes(_app: Sphinx, document: nodes.document) -> None:
    """Set a dash behind each name of a parameter or error, as smartquotes would."""
    for text in list(document.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app: Sphinx) -> None:
    """Register what the extensions lack."""
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", _unlink)
    app.connect("doctree-read", _set_dashes)
    app.connect("sphinx-click-process-epilog", _add_examples)
