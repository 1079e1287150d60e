"""A worker: the process that imports one program, loads its model and answers requests."""
