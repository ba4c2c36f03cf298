"""Short programs that use the environments from other libraries, and from none."""
