"""Configuration of the documentation: ``python -m sphinx -W -b html .docs site``."""

import importlib
import inspect
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

from docutils import nodes

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PLACEHOLDER = ROOT / ".github" / "quadrants.png"  # where examples are not run: plot_gallery=0
sys.path[:0] = [str(ROOT), str(DOCS)]  # the package, gallery_order and recorded
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # for workers
os.environ.setdefault("OMP_NUM_THREADS", "1")

import recorded  # noqa: E402

import sk_quadrant  # noqa: E402
from sk_quadrant.losses import LOSSES  # noqa: E402

project = "sk-quadrant"
author = "The sk_quadrant developers"
copyright = author  # noqa: A001
version = release = sk_quadrant.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_design",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
nitpicky = True
default_role = "literal"
templates_path = ["_templates"]
exclude_patterns = ["_templates"]
suppress_warnings = ["toc.multiple_toctrees"]  # the tutorial is an example as well

autodoc_default_options = {"members": True, "inherited-members": "Module"}  # not those of torch
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

extlinks = {
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"),
    "doi": ("https://doi.org/%s", "doi:%s"),
}

sphinx_gallery_conf = {
    "examples_dirs": [str(ROOT / "examples")],
    "gallery_dirs": ["generated/gallery"],
    "backreferences_dir": "generated/backreferences",
    "ignore_pattern": r"benchmarks",
    "filename_pattern": r"plot_",  # what others print and draw was recorded
    "doc_module": ("sk_quadrant",),
    "within_subsection_order": "gallery_order.position",
    "minigallery_sort_order": "gallery_order.position",
    "abort_on_example_error": True,
    "capture_repr": (),  # pages show what examples print, not the address of their last value
    "thumbnail_size": (560, 392),
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "default_thumb_file": str(PLACEHOLDER),
}

html_theme = "pydata_sphinx_theme"
html_title = f"sk-quadrant {version}"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_search_scorer = str(DOCS / "search_scorer.js")
html_theme_options = {
    "show_prev_next": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
WIDE = ("index", "install", "examples", "api", "coming_from", "benchmarks", "faq", "glossary", "architecture")
html_sidebars = {page: [] for page in (*WIDE, "generated/gallery/plot_tutorial")}
html_show_sourcelink = False

# Where other projects document their names. Links are made without the network, and only to names that exist here.
ELSEWHERE = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{name}.html",
    "joblib": "https://joblib.readthedocs.io/en/latest/generated/{name}.html",
    "matplotlib": "https://matplotlib.org/stable/api/_as_gen/{name}.html",
}
GLOSSARY = "https://scikit-learn.org/stable/glossary.html#term-{term}"
SECTIONS = {
    "accuracy_score": "https://scikit-learn.org/stable/modules/model_evaluation.html#accuracy-score",
    "scoring_string_names": "https://scikit-learn.org/stable/modules/model_evaluation.html#scoring-string-names",
    "metadata_routing": "https://scikit-learn.org/stable/metadata_routing.html",
}


SCRIPT_OUTPUT = ".. rst-class:: sphx-glr-script-out\n\n .. code-block:: none\n\n{}\n"


def describe(loss):
    """Return the cells of a loss in the table: name, class, probability at the natural threshold, when to use it."""
    link, threshold = loss().link, loss().threshold
    above = "no link" if link is None else f"{float(link.inverse(threshold)):.3g}".removeprefix("0")
    advice = re.search(r"^Use it (.+?)$(?=\n\n|\Z)", inspect.getdoc(loss), flags=re.DOTALL | re.MULTILINE).group(1)
    return [f'``"{loss.name}"``', f":class:`~sk_quadrant.losses.{loss.__name__}`", above, " ".join(advice.split())]


def meaning(loss):
    """Return the cells of a loss in the table of scores: name, probabilities of scores, thresholds, convexity."""
    name, loss = f":ref:`{loss.__name__} <loss-{loss.name}>`", loss()
    proba = ["none"] * 3 if loss.link is None else [f"{float(loss.proba(score)):.2f}" for score in (-1, 0, 1)]
    natural = f"{loss.threshold:g}"
    if loss.link is not None:
        natural += f" ({float(loss.proba(loss.threshold)):.3g})"
    bayes = "none" if loss.bayes_threshold is None else f"{float(loss.bayes_threshold):.3g}"
    return [name, *proba, natural, bayes, "yes" if loss.convex else "no"]


def section(loss):
    """Return the lines of a loss on the page on scores: what its docstring says before the parameters."""
    text = re.split(r"\n\n[\w ]+\n-{3,}\n", inspect.getdoc(loss))[0].replace(" [2]_", "")
    head = [f".. _loss-{loss.name}:", "", loss.__name__, "-" * len(loss.__name__), ""]
    reference = f'``"{loss.name}"``; parameters and references: :class:`~sk_quadrant.losses.{loss.__name__}`.'
    return [*head, text, "", reference, ""]


def table_of(rows, widths):
    """Return the lines of a table."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    return lines + [f"   {'  ' if i else '* '}- {cell}" for row in rows for i, cell in enumerate(row)]


def write_losses(app, config):
    """Write what follows from `LOSSES`: tables and formulas of the user guide, and the page of the reference."""
    losses = LOSSES.values()
    table = table_of([["``loss``", "class", "present above", "use it"], *map(describe, losses)], "25 21 12 42")
    header = ["loss", "score -1", "score 0", "score 1", "natural", "Bayes", "convex"]
    scores = table_of([header, *map(meaning, losses)], "25 12 12 12 16 12 11")
    formulas = [line for loss in losses for line in section(loss)]
    names = [loss.__name__ for loss in LOSSES.values()]
    page = ["All losses", "==========", "", ".. currentmodule:: sk_quadrant.losses", "", ".. autosummary::"]
    page += ["   :toctree: api", "", *(f"   {name}" for name in names)]
    generated = Path(app.srcdir) / "generated"
    generated.mkdir(exist_ok=True)
    pages = {
        "losses_table.txt": table,
        "losses_scores.txt": scores,
        "losses_formulas.txt": formulas,
        "losses.rst": page,
    }
    for name, lines in pages.items():
        (generated / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def copy_pictures(app, env, docnames):
    """Copy the pictures of the example with all displays, one a display, to where the pages of displays show them."""
    source = (ROOT / "examples" / "plot_displays.py").read_text(encoding="utf-8")
    generated = Path(app.srcdir) / "generated"
    (generated / "displays").mkdir(exist_ok=True)
    are_drawn = app.config.sphinx_gallery_conf["plot_gallery"]
    if not are_drawn:  # examples are shown without running them
        app.config.suppress_warnings.append("image.not_readable")  # pictures that pages take from examples
    for number, name in enumerate(re.findall(r"^(\w+Display)\.from_", source, flags=re.MULTILINE), start=1):
        picture = generated / "gallery" / "images" / f"sphx_glr_plot_displays_{number:03d}.png"
        shutil.copy(picture if are_drawn else PLACEHOLDER, generated / "displays" / f"{name}.png")


def copy_recorded_pictures(app, config):
    """Copy the pictures of recorded examples to where the gallery looks for that of a card."""
    images = Path(app.srcdir) / "generated" / "gallery" / "images"
    images.mkdir(parents=True, exist_ok=True)
    for name in recorded.NAMES:
        shutil.copy(recorded.FOLDER / f"{name}.png", images / f"sphx_glr_{name}_001.png")


def show_recorded(app, docname, content):
    """Show the recorded output of an example below each of its cells, and its picture below the last one."""
    name = docname.removeprefix("generated/gallery/")
    if name not in recorded.NAMES:
        return
    head, *cells = re.split(r"^(?=\.\. code-block:: Python$)", content[0], flags=re.MULTILINE)
    outputs = [SCRIPT_OUTPUT.format(textwrap.indent(text, " " * 4)) if text else "" for text in recorded.read(name)]
    outputs[-1] += f".. image:: /recorded/{name}.png\n   :alt: The picture that {name}.py draws.\n\n"
    for k, (cell, output) in enumerate(zip(cells, outputs, strict=True)):
        cells[k] = re.sub(
            r"^(?=\.\. (?:GENERATED|_sphx_glr))", lambda _, o=output: o, cell, count=1, flags=re.MULTILINE
        )
    content[0] = "".join([head, *cells])


def join_chinese_lines(app, tree):
    """Join lines between Chinese characters, where browsers show a line break of the source as a space."""
    between = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")
    if app.env.docname.startswith("zh/"):
        for text in list(tree.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(between.sub("", text)))


def exists(name):
    """Return whether a dotted name can be imported."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        return found is not None
    return False


def address_elsewhere(role, target):
    """Return where another project documents a target, None if that is not known."""
    if role == "term":
        return GLOSSARY.format(term=target.replace(" ", "-"))
    if role == "ref":
        return SECTIONS.get(target)
    pattern = ELSEWHERE.get(target.partition(".")[0])
    return pattern.format(name=target) if pattern and exists(target) else None


def link_elsewhere(app, env, node, content):
    """Link a reference that is not in these pages to the pages of its project."""
    address = address_elsewhere(node["reftype"], node["reftarget"])
    return address and nodes.reference("", "", content, internal=False, refuri=address)


def quote_attributes(app, what, name, obj, options, lines):
    """Keep an attribute inside a shape, as in (n_features_in_,), from being read as a link."""
    lines[:] = [re.sub(r"(?<=\()(\w+_)(?=,)", r"``\1``", line) for line in lines]


def setup(app):
    """Connect."""
    app.connect("config-inited", write_losses)  # before pages are looked for
    app.connect("config-inited", copy_recorded_pictures)  # before cards are made
    app.connect("source-read", show_recorded)
    app.connect("env-before-read-docs", copy_pictures)  # after the examples have run
    app.connect("doctree-read", join_chinese_lines)
    app.connect("missing-reference", link_elsewhere)
    app.connect("autodoc-process-docstring", quote_attributes, priority=900)  # after numpydoc
