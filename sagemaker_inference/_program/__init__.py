"""What a user registers: roles, signatures, the registry, where the program is."""
