"""What a picture is in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# (H, W), or (H, W, C): C = 3 for RGB or 1 for grey, and one more where there is alpha.
Pixels = npt.NDArray[np.uint8]
# Red, green and blue, 0 to 255 each.
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
