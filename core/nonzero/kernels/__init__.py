"""What learns and predicts, as compiled code, and what it writes down on the way."""
