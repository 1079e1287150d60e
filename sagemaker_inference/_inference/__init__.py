"""The assembled program: decode, predict and encode requests, alone or in batches."""
