"""What a program needs that plays policies: the protocol, policies by name, and the loop."""

from agents.catalogue import make_policy
from agents.play import Info, Observation, Policy, evaluate, play

__all__ = ["Info", "Observation", "Policy", "evaluate", "make_policy", "play"]
