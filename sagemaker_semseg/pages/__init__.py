"""HTML pages from Jinja2 templates, and the look that all reports share.

rendering.py     fills a template; every text is escaped
formatting.py    numbers and sentences as the reports write them
frame.html       what a report's template extends: head, heading, footer
pieces.html      macros: a bar, a color, a table, a tile
colors.css       the colors of all pages, light and dark
look.css         the style of reports, wide and narrow, on paper

The endpoint's page has the same colors and a style of its own, in ``serving``.
"""

from sagemaker_semseg.pages.rendering import clean, content_hash, read_asset, read_style, render, render_report

__all__ = ["clean", "content_hash", "read_asset", "read_style", "render", "render_report"]
