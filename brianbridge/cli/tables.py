"""Aligned text for a terminal."""

__all__ = ["number", "table"]


def table(heading, rows):
    """Align columns: numbers to the right, everything else to the left.

    Parameters
    ----------
    heading : sequence of str
    rows : sequence of sequences
        Of text and numbers.

    Returns
    -------
    str
    """
    cells = [[number(cell) if _is_number(cell) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heading, *cells, strict=True)]
    right = [bool(rows) and any(map(_is_number, column)) for column in zip(*rows, strict=True)] or [False]
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right or [False] * len(widths), strict=False)
        ).rstrip()
        for line in [heading, *cells]
    ]
    return "\n".join(lines)


def number(value):
    """A number in four significant digits; whole numbers in full."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _is_number(cell):
    return isinstance(cell, int | float)
