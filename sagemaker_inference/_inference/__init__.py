"""The assembled program: decode, predict, encode, and batches of that."""
