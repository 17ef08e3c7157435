"""Sphinx configuration. Build with `make docs`."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import brianbridge

project = "brianbridge"
copyright = "the brianbridge contributors"
version = release = installed_version("brianbridge")

sys.path.insert(0, str(Path(__file__).parent))  # for the tables
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "generated_tables",
]
exclude_patterns = ["_build", "_*.md"]
html_theme = "furo"
html_title = "brianbridge"
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, shapes and units
napoleon_google_docstring = False
napoleon_use_ivar = True  # attributes are listed once, in the docstring of their class

# The package loads its public names when they are first used; autodoc sees only those that are loaded.
for name in getattr(brianbridge, "__all__", ()):
    setattr(brianbridge, name, getattr(brianbridge, name))
