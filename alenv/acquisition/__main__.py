"""Prints the table of acquisition channels, in Markdown."""

from alenv.acquisition import SCORES


def rows() -> list[str]:
    """Return the lines of the table."""
    cells = [(f"`{name}`", f"`{score.policy}`" * bool(score.policy), score.about) for name, score in SCORES.items()]
    cells.append(("`class_gain_<number>`", "", "`pseudo_gain` for the IoU of one class alone"))
    return ["| channel | its policy | what it is |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in cells)]


if __name__ == "__main__":
    print("\n".join(rows()))
