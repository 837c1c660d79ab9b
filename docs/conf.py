"""Sphinx: Markdown (MyST), furo, and autodoc of the public names. Warnings are errors (noxfile.py)."""

from __future__ import annotations

import pkgutil

from sphinx.pycode import ModuleAnalyzer

import trio_h2ws
import trio_h2ws.testing

project = "trio_h2ws"
author = "The trio_h2ws authors"
copyright = "The trio_h2ws authors"  # noqa: A001
version = release = trio_h2ws.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trio_h2ws {release}"
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links from the included README and CHANGELOG

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
# Docstrings are plain text with `names` in single backticks: show them as code.
default_role = "code"


def _find_field_docs(package: str, path: list[str]) -> None:
    """Let autodoc find the docstrings of fields. It looks for them in the file of the module that a class says it is
    from, and our public classes say `trio_h2ws`, not the file that they were written in."""
    public = ModuleAnalyzer.for_module(package)
    public.analyze()
    for module in pkgutil.iter_modules(path):
        if module.name.startswith("_") and not module.ispkg and module.name != "__main__":
            room = ModuleAnalyzer.for_module(f"{package}.{module.name}")
            room.analyze()
            public.attr_docs.update(room.attr_docs)


for _package in (trio_h2ws, trio_h2ws.testing):
    _find_field_docs(_package.__name__, list(_package.__path__))
