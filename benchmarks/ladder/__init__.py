"""How far low rungs of fidelity predict high ones: ``python -m benchmarks.ladder``."""
