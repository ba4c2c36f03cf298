"""A dataset of twelve small images, for models that are trained at every reset."""

import numpy as np

from alenv.data import from_arrays

masks = np.random.default_rng(0).integers(0, 3, (12, 6, 8), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
images = np.stack([80 * masks, 255 - 80 * masks, 40 + 0 * masks], -1)
splits = {"state": [0, 1], "train": [2, 3, 4], "reward": [5, 6], "eval": [7, 8], "holdout": [9], "test": [10, 11]}
dataset = from_arrays(images, masks, ("soil", "leaf", "weed"), splits)
