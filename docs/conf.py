"""How Sphinx makes the site: ``make docs`` (offline; nothing is fetched, neither now nor by the pages).

The pages under ``reference/generated`` are written here first, from the program itself: the JSON Schema, the command
line, the public names and the counters.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from numa_sim.version import __version__  # noqa: E402
from reference_pages import write_pages  # noqa: E402

project = "numa_sim"
author = "numa_sim authors"
copyright = "numa_sim authors, MIT licence"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "reference_pages"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["deflist", "attrs_block"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page of ours may begin a section with a table of contents

smartquotes = False  # what is quoted here is mostly TOML
nitpick_ignore_regex = [("py:.*", ".*")]  # numpy's and SimPy's own documentation lies elsewhere

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
default_role = "literal"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"numa_sim {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_remove_prompts = True


_LINK_BELOW = re.compile(r"\]\(((?:generated/)?[\w.-]+)\.md\)")


def add_children(app, page, source):
    """Make the pages that a README links to its children, then its folder's others: GitHub needs no directive."""
    if page.endswith("/README"):
        others = sorted(path.stem for path in Path(app.env.doc2path(page)).parent.glob("*.md") if path.stem != "README")
        children = "\n".join(dict.fromkeys([*_LINK_BELOW.findall(source[0]), *others]))
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{children}\n```\n"


def setup(app):
    """Write the generated pages before anything is read."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "reference" / "generated"))
    app.connect("source-read", add_children)
