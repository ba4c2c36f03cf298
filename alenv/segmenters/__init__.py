"""Segmentation models that are trained in the loop."""
