"""A page as a test reads it, and names from the files that must stay text in it."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "wbr"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style><script>alert(1)</script>",
    '" onload="alert(1)',
    "' onmouseover='alert(1)",
    "<!--",
    "{{ style }} {{ report }} {% if %} {# \\1",
    "javascript:alert(1)",
    "\udcff lone",
    "\x00\x1b[31m",
    "\u202egpj.exe",
]


class Document(HTMLParser):
    """The elements, checked to be closed in order, and the visible text."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def seen(self):
        return " ".join(" ".join(self.words).split())
