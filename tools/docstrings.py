"""Docstrings of this package as reStructuredText: they are plain text, with formulas and code in indented blocks and names in backticks."""

import re

BULLET = re.compile(r"\s*- ")
ARGUMENTS = re.compile(r"\w+(, \w+)*: ")  # "z_t, noise: (B, 4, h, w)." has a line of its own


def escape(text: str) -> str:
    """Plain text in which nothing is markup but `names`, which become literals."""
    parts = re.split(r"(`[^`\n]+`)", text)
    return "".join(
        f"`{part}`" if part[:1] == part[-1:] == "`" and len(part) > 2 else re.sub(r"([\\`*_|])", r"\\\1", part) for part in parts
    )


def is_indented(line: str) -> bool:
    return line.startswith("  ") and bool(line.strip())


def to_rst(lines: list[str]) -> None:
    """Rewrites the lines in place: an indented block becomes a literal one, unless it goes on with a list; the rest is escaped."""
    found: list[str] = []
    in_list = in_block = False
    for line in lines:
        if not line.strip():
            found.append("")
            continue
        if BULLET.match(line) and not in_block:
            if not in_list and found and found[-1]:
                found.append("")
            in_list = True
            found.append(re.match(r"\s*- ", line)[0].lstrip() + escape(line.strip()[2:]))  # type: ignore[index]
            continue
        if is_indented(line):
            if in_list and found[-1]:
                found.append("  " + escape(line.strip()))
                continue
            if not in_block:
                found += ["", "::", ""]
            in_block = True
            found.append("    " + line)
            continue
        if in_block or in_list or (found and found[-1] and ARGUMENTS.match(line)):
            found.append("")
        in_block = in_list = False
        found.append(escape(line))
    lines[:] = [*found, ""]
