"""Heads on frozen features, and the learner around them."""
