"""A control with a known optimum, which who is greedy, or sees no masks, does not find."""

import numpy as np

BAIT, DOOR, PRIZE, BLANK = range(4)


class Doors:
    """Three doors in each of some places, twice. The bait pays 1 at once; the door nothing, but then the prize, 2.

    The prize is always seen and is legal after the door only, which nothing but the mask tells. So returns are at most
    2, of the door and the prize, and 1 for who is greedy, or believes that the prize follows the bait.

    Args:
        places: How many.
        honest: Whether the mask is true; otherwise it allows all.
    """

    def __init__(self, places, honest=True):
        self._places, self._honest = places, honest

    def begin(self, rng):
        self._rng = rng
        self.second, self._opened = False, np.zeros(self._places, bool)

    def look(self):
        """Return what is shown, (places, 3): kinds of doors as one-hot vectors, and which can be had."""
        kinds = [PRIZE, BLANK, BLANK] if self.second else [PRIZE, BAIT, DOOR]
        self.kinds = self._rng.permuted(np.tile(kinds, (self._places, 1)), axis=1)
        mask = self._legal() | (not self._honest)
        return {"candidates": np.eye(4, dtype=np.float32)[self.kinds], "action_mask": mask.astype(np.int8)}

    def worth(self):
        """Return what each door pays now, (places, 3)."""
        return 1.0 * (self.kinds == BAIT) + 2.0 * ((self.kinds == PRIZE) & self._legal())

    def open(self, actions):
        """Return what was paid, (places,), and whether that was all; the doors begin anew then."""
        rows = np.arange(self._places)
        paid, over = self.worth()[rows, actions], self.second
        self._opened = (self.kinds[rows, actions] == DOOR) & (not self.second)
        self.second = not over
        return paid, over

    def _legal(self):
        return (self.kinds != PRIZE) | (self.second & self._opened)[:, None]
