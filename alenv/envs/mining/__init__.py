"""SingleClassMine and what it is made of."""
