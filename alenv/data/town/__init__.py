"""How the scenes are made: ``streets`` and ``things`` build the world of a drive, ``scenery`` draws it."""
