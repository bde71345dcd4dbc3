"""Where CelebA's aligned pictures have eyes, nose and mouth: the places a face is brought to.

The aligned frame is CelebA's: 178×218 pixels, the origin in the top left corner, the centre of the
first pixel at (0.5, 0.5). The points are medians over the 2,000 faces of the official test part
in the subset at hand, of what :func:`mddae_cli.align.detector.look` finds in the pictures as they
are; ``python tests/benchmarks/align.py --data-dir DIR --template`` measures them again. CelebA's
published landmarks have the eyes at about (69, 111) and (108, 111) by pixel number, which
is (69.5, 111.5) and (108.5, 111.5) here. Single faces scatter about them, by 1.8
pixels in x and 1.4 in y at the eyes: CelebA's own alignment is no nearer.
"""

from __future__ import annotations

import numpy as np

from mddae_cli.header import Preprocess

WIDTH, HEIGHT = 178, 218
# Left eye, right eye (to the onlooker), nose, left and right corner of the mouth.
POINTS = np.array([[69.0, 111.4], [109.0, 111.4], [88.6, 135.8], [70.8, 153.3], [107.2, 153.3]])
EYE_DISTANCE = float(POINTS[1, 0] - POINTS[0, 0])


def crop_square(preprocess: Preprocess) -> tuple[float, float, float]:
    """Return the square of the aligned frame that the model sees: left, top and side."""
    if preprocess.crop is None:
        return 0.0, (HEIGHT - WIDTH) / 2, float(WIDTH)
    left, top, right, _ = preprocess.crop
    return left * WIDTH, top * HEIGHT, (right - left) * WIDTH
