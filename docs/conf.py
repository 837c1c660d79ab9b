"""Sphinx: Markdown (MyST), furo, and autodoc of the public names. Warnings are errors (noxfile.py)."""

from __future__ import annotations

import dataclasses
import pkgutil
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

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
html_static_path = ["_static"]
html_css_files = ["extra.css"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
# Docstrings are plain text with `names` in single backticks: show them as code.
default_role = "code"


def _private_modules(package: str, path: list[str]) -> list[ModuleAnalyzer]:
    """The private modules that define the public classes of a package, at any depth."""
    modules = []
    for module in pkgutil.walk_packages(path, f"{package}."):
        top = module.name.removeprefix(f"{package}.").partition(".")[0]
        if top.startswith("_") and top not in ("__main__", "_cli"):
            analyzer = ModuleAnalyzer.for_module(module.name)
            analyzer.analyze()
            modules.append(analyzer)
    return modules


def _find_field_docs(package: str, path: list[str]) -> ModuleAnalyzer:
    """Let autodoc find the docstrings of fields, and the order of members. It reads the file of the module named in a
    class's `__module__`, and for our public classes that is `trio_h2ws`, not the module that defines them."""
    public = ModuleAnalyzer.for_module(package)
    public.analyze()
    for module in _private_modules(package, path):
        public.attr_docs.update(module.attr_docs)
        public.tagorder.update(module.tagorder)
    return public


_ANALYZER = _find_field_docs("trio_h2ws", list(trio_h2ws.__path__))
_find_field_docs("trio_h2ws.testing", list(trio_h2ws.testing.__path__))


class Fields(SphinxDirective):
    """A table of a dataclass's fields, each with its default and its docstring: `.. fields:: Limits`. A star after
    the default means that None is allowed.

    The content names the fields, one per line; without it, all of them are shown. A field that no table shows is an
    error, so a new one can't be forgotten.
    """

    required_arguments = 1
    has_content = True
    shown: dict[str, set[str]] = {}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        kind = self.arguments[0]
        fields = {field.name: field for field in dataclasses.fields(getattr(trio_h2ws, kind))}
        chosen = [line.strip() for line in self.content if line.strip()] or list(fields)
        self.shown.setdefault(kind, set()).update(chosen)
        lines = [".. list-table::", "   :header-rows: 1", "   :class: fields", ""]
        lines += ["   * - field", "     - default", "     - what it is"]
        for name in chosen:
            doc = " ".join(_ANALYZER.attr_docs[kind, name])
            default = _shown(fields[name].default, doc) + (" \\*" if "None" in str(fields[name].type) else "")
            lines += [f"   * - `{name}`", f"     - {default}", f"     - {doc.strip()}"]
        return self.parse_text_to_nodes("\n".join(lines))


def _shown(value: Any, doc: str) -> str:
    if isinstance(value, float):
        return f"{value:g} s"
    if not isinstance(value, int) or isinstance(value, bool):
        return f"`{value}`"
    is_bytes = value > 2**20 or re.match(r"(received )?bytes", doc, re.IGNORECASE)
    if is_bytes and value >= 1024 and value % 1024 == 0:
        return f"{value // 2**20} MiB" if value % 2**20 == 0 else f"{value // 1024} KiB"
    return f"{value:,}"


def _check_fields(app: Sphinx, env: object) -> None:
    for kind, shown in Fields.shown.items():
        missing = {field.name for field in dataclasses.fields(getattr(trio_h2ws, kind))} - shown
        if missing:
            raise ValueError(f"no table of the reference shows {kind}.{', '.join(sorted(missing))}")


def setup(app: Sphinx) -> None:
    app.add_directive("fields", Fields)
    app.connect("env-check-consistency", _check_fields)
