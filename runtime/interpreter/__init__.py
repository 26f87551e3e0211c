"""The reference interpreter: the meaning of every operation in plain numpy."""
