"""The batch, the one currency: its columns and ids, checked where they are made, and their limits."""
