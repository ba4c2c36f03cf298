"""What the tests of mined images share."""

import pytest


@pytest.fixture(scope="session")
def tiny(coco_tiny_root):
    """COCO's 38 images: dataset, root and backbone."""
    return "coco", str(coco_tiny_root), "filterbank"
