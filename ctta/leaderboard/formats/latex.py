"""LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from ctta.leaderboard.sheets import Cell, Sheet

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line's end both would be its argument
    "*": "{*}",
    **{c: f"\\{c}" for c in "{}$&#_%"},
}


def escape(text: str) -> str:
    """Text that LaTeX sets as it is; letters that its fonts lack by their number."""
    return "".join(SPECIAL.get(c) or (c if known(c) else f"(U+{ord(c):04X})") for c in text)


def known(character: str) -> bool:
    """In the fonts that LaTeX begins with."""
    return character.isascii() or ("À" <= character <= "ÿ" and character.isalpha())


def cell(content: Cell) -> str:
    """With its emphasis."""
    text = escape(content.text)
    if not text:
        return ""
    text = f"\\textbf{{{text}}}" if content.bold else text
    return f"\\textit{{{text}}}" if content.italic else text


def render(sheets: Sequence[Sheet]) -> str:
    """A table each; headings of columns are rotated."""
    blocks = [r"% needs \usepackage{booktabs,graphicx}"]
    for sheet in sheets:
        head = [escape(sheet.head[0]), *(rotated(h) for h in sheet.head[1:])]
        lines = [
            r"\begin{table*}\centering\small\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape(sheet.title)}. {' '.join(f'{escape(n)}.' for n in sheet.notes)}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{"
            rf"\begin{{tabular}}{{l{'r' * (len(sheet.head) - 1)}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
        ]
        for part in sheet.parts:
            lines.append(r"\midrule")
            lines.append(
                rf"\multicolumn{{{len(sheet.head)}}}{{l}}{{\textit{{{escape(part.heading)}}}}} \\"
            )
            lines += [" & ".join(map(cell, row)) + r" \\" for row in part.rows]
        blocks.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table*}"]))
    return "\n\n".join(blocks) + "\n"


def rotated(text: str) -> str:
    """A narrow heading."""
    return rf"\rotatebox{{90}}{{{escape(text)}}}"
