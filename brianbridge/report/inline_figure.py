"""Puts a matplotlib figure into an HTML page, without any file beside it."""

from __future__ import annotations

import base64
import contextlib
import io
import re
from html import escape

import matplotlib

from brianbridge.figure_style import INK, figure_style

LARGEST_SVG = 2_000_000  # characters; a larger drawing (many single points) becomes a PNG
PIXELS_PER_INCH = 220

# Letters become outlines, so a page looks the same on a machine without the font. The fixed salt makes the
# same figure the same text each time, so that two reports can be compared.
_SVG_OPTIONS = {"svg.fonttype": "path", "svg.hashsalt": "brianbridge", "svg.image_inline": True}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def figure_markup(figure, alt, prefix):
    """
    HTML of a figure: an inline SVG, or an image with its data inside if the SVG were too large.

    A figure in brianbridge's style (transparent, written in one ink) takes the colour of the page's text,
    so that it can be read on a dark page; any other figure stands on white.

    Parameters
    ----------
    figure : `matplotlib.figure.Figure`
    alt : str
        The alternative text; it is escaped here.
    prefix : str
        Set before each id inside the SVG: ids must differ between the figures of one page.

    Returns
    -------
    str
        Safe to be put into a page as it is.
    """
    follows_page = figure.get_facecolor()[3] == 0
    with figure_style() if follows_page else contextlib.nullcontext():
        svg = _svg(figure)
        if len(svg) > LARGEST_SVG:
            return _png_image(figure, alt)
    svg = _with_prefixed_ids(svg, prefix)
    if follows_page:
        svg = svg.replace(INK, "currentColor")
    kind = "follows-page" if follows_page else "on-white"
    return f'<svg class="{kind}" role="img" aria-label="{escape(alt)}" {svg.removeprefix("<svg")}'


def _svg(figure):
    drawn = io.StringIO()
    with matplotlib.rc_context(_SVG_OPTIONS):
        figure.savefig(drawn, format="svg", dpi=PIXELS_PER_INCH, metadata=_NO_METADATA)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    # matplotlib repeats every text in a comment and adds metadata with web addresses: neither is needed.
    svg = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    # The page decides how wide the figure is; inside HTML, SVG needs no declaration of its XML name spaces.
    return re.sub(r'\s(width|height|version|xmlns(:\w+)?)="[^"]*"', "", opening) + ">" + rest


def _with_prefixed_ids(svg, prefix):
    svg = re.sub(r'(\sid=")', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'((?:xlink:)?href="#)', rf"\g<1>{prefix}-", svg)
    return re.sub(r"(url\(#)", rf"\g<1>{prefix}-", svg)


def _png_image(figure, alt):
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=PIXELS_PER_INCH, facecolor="white")
    data = base64.b64encode(drawn.getvalue()).decode("ascii")
    return f'<img class="on-white" alt="{escape(alt)}" src="data:image/png;base64,{data}">'
