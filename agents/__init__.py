"""Policies for the environments of ``alenv``, and the one loop that judges them. Run from a checkout."""
