"""How good each prediction was before its example was learned from, and a map that mends predictions."""
