"""What the site needs besides Material for MkDocs: formulas, links to code, no foreign assets."""

import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page

_log = logging.getLogger("mkdocs.hooks.docs")  # a warning below "mkdocs" ends a strict build

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)#\s]*)[^)]*\)")
_TARGET = re.compile(r"""<(\w+)\b[^>]*?\s(?:href|src)="([^"#?]+)""")
_ELSEWHERE = re.compile(r"(?:\w+:)?//|\w+:")


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
    """No page loads anything from elsewhere, and no link of the finished pages leads nowhere."""
    site = Path(config.site_dir)
    for path in site.rglob("*.html"):
        for tag, target in set(_TARGET.findall(path.read_text("utf-8"))):
            if _ELSEWHERE.match(target):
                wrong = tag != "a" and not target.startswith("data:")
            else:
                root = site if target.startswith("/") else path.parent
                wrong = not (root / unquote(target).lstrip("/")).exists()
            if wrong:
                _log.warning("%s: <%s> leads to %s", path.relative_to(site), tag, target)
