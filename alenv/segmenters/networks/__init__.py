"""Networks that are trained end to end, and the learner around them."""

from alenv.segmenters.networks.architectures import Build, Network
from alenv.segmenters.networks.training import Training

__all__ = ["Build", "Network", "Training"]
