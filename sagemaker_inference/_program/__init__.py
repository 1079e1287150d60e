"""The user's side: roles, signatures, the registry, and the location of the program."""
