"""What the site needs besides Material for MkDocs: formulas, links to code, no foreign assets."""

import logging
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

_log = logging.getLogger("mkdocs.hooks.docs")  # a warning below "mkdocs" ends a strict build

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#\s]*)[^)]*\)")
_OUTSIDE = re.compile(
    r"""<(?:script|img|iframe|source|link(?![^>]*rel="canonical"))\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"""
)


def on_config(config: MkDocsConfig) -> None:
    """Blocks `math` hold LaTeX, as on code hosts; they become MathML, which browsers draw."""
    fence = {"name": "math", "class": "math", "format": _formula}
    config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}


def _formula(source: str, *_: Any, **__: Any) -> str:
    return f'<div class="math">{convert(source, display="block")}</div>'


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """A link that leaves docs/, good on a code host, is text here; its target must exist."""
    docs = Path(config.docs_dir)
    folder = (docs / page.file.src_uri).parent

    def text_of(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            _log.warning("%s: no such file: %s", page.file.src_uri, link[2])
        return link[1]

    return _LINK.sub(text_of, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """No page loads anything from elsewhere."""
    site = Path(config.site_dir)
    for path in site.rglob("*.html"):
        for asset in _OUTSIDE.findall(path.read_text("utf-8")):
            _log.warning("%s loads from outside: %s", path.relative_to(site), asset)
