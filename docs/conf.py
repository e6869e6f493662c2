"""How the site is built: `make docs`. It needs no network, and every warning is an error."""

from __future__ import annotations

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]

project = "tabloop"
author = "the authors of tabloop"
version = release = _PROJECT["version"]
html_baseurl = _PROJECT["urls"]["Documentation"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
source_suffix = {".md": "markdown"}
root_doc = "index"

myst_heading_anchors = 4
# a test names the pages that no section leads to; a pattern that nothing matches waits for its page
suppress_warnings = ["toc.not_included", "toc.empty_glob"]

autodoc_typehints = "none"  # the signature has the parameters, and numpydoc's sections their types
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False
# `Attributes` as plain lines: each is documented where it is defined, and once is enough
numpydoc_attributes_as_param_list = False

highlight_language = "none"
html_theme = "pydata_sphinx_theme"
html_title = "tabloop"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["entry.js"]
html_search_scorer = str(Path(__file__).with_name("_static") / "scorer.js")
html_show_sourcelink = False
html_domain_indices = False  # of two modules
html_copy_source = False
html_context = {"default_mode": "auto"}
html_sidebars = {page: [] for page in ("index", "troubleshooting", "decisions", "glossary", "search")}
html_theme_options = {
    "logo": {"text": "tabloop"},
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
copyright = "the authors of tabloop; Apache-2.0"  # noqa: A001 - Sphinx names it
