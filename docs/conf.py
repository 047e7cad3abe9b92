"""How the documentation is built: ``sphinx-build -W docs docs/_build``."""

import sys
import warnings
from pathlib import Path

import adamnb

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "adamnb"
author = "The adamnb developers"
copyright = author  # noqa: A001
version = release = adamnb.__version__

extensions = [
    "mathml",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "asv", "auto_examples/*.ipynb"]
suppress_warnings = ["config.cache"]  # functions in `sphinx_gallery_conf`

# ------------------------------------------------------------------------------------------- pages

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# ------------------------------------------------------------------------------------------- reference

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc says them in words
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
default_role = "code"  # names between single back quotes

# ------------------------------------------------------------------------------------------- pictures

plot_html_show_formats = plot_html_show_source_link = False
plot_formats = [("png", 90)]
plot_include_source = True
plot_rcparams = {"figure.figsize": (6.4, 3.6), "figure.constrained_layout.use": True}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "copyfile_regex": r".*\.rst",
    "filename_pattern": r"plot_",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # its pages load from other hosts
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "plot_gallery": True,
    "within_subsection_order": "order.ReadingOrder",
    "parallel": 2,
}
warnings.filterwarnings("ignore", message="Matplotlib is currently using agg")

# ------------------------------------------------------------------------------------------- looks

html_theme = "pydata_sphinx_theme"
html_title = "adamnb"
html_favicon = html_logo = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["adamnb.css"]
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "adamnb"},
    "show_prev_next": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
alone = ("index", "coming_from", "hosts", "long_runs", "performance", "troubleshooting", "cite")
html_sidebars = {page: [] for page in alone}  # no other pages in their section
