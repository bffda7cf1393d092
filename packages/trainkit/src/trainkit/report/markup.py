"""HTML and SVG as a tree, so that nothing reaches the page unescaped."""

from xml.etree.ElementTree import Element, tostring


def element(tag: str, *children: Element | str, **attributes: object) -> Element:
    """An element with its children in order.

    Args:
        tag: its name.
        children: elements and text.
        attributes: `stroke_width=2` is `stroke-width="2"`, `class_="x"` is `class="x"`; one that is
            None is left out.
    """
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    parent = Element(tag, {name: str(value) for name, value in names.items() if value is not None})
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
            last = child
        elif last is None:
            parent.text = (parent.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return parent


def to_html(root: Element) -> bytes:
    """A whole page, UTF-8."""
    text = "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"
    # A model's text may hold half a surrogate pair, which UTF-8 has no bytes for.
    return text.encode("utf-8", errors="xmlcharrefreplace")
