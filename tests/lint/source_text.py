"""C++ source without its comments and literals, so that rules look at code alone."""

import pathlib
import re

_TOKEN = re.compile(
    r'''(?P<raw>R"(?P<tag>[^()\\ ]{0,16})\(.*?\)(?P=tag)")'''
    r'''|(?P<line>//[^\n]*)|(?P<block>/\*.*?\*/)'''
    r'''|(?P<include>^[ \t]*\#[ \t]*include[^\n]*)'''
    r'''|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<digit>\b[0-9][0-9a-zA-Z.]*(?:'[0-9a-zA-Z.]+)+)'''
    r'''|(?P<char>'(?:\\.|[^'\\\n])*')''',
    re.DOTALL | re.MULTILINE)


def strip(text):
    """`text` with comments, literals and include lines blanked; line numbers stay."""

    def blank(match):
        if match.lastgroup == "digit" or match.group("digit"):
            return match.group(0)
        return "\n" * match.group(0).count("\n") or " "

    return _TOKEN.sub(blank, text)


def includes(text):
    """(line number, <name> or "name") of every include."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#\s*include\s*([<"][^>"]+[>"])', line)
        if match:
            found.append((number, match.group(1)))
    return found


def files(root, *folders, suffixes=(".h", ".cc")):
    """Paths under `folders` of `root`, sorted."""
    found = []
    for folder in folders:
        found += [p for p in (root / folder).rglob("*") if p.suffix in suffixes]
    return sorted(found)


def read(path):
    return pathlib.Path(path).read_text(encoding="utf-8")
