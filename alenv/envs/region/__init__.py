"""RegionSelect and what it is made of."""
