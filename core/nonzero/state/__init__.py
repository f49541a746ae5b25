"""What is learned: the table, all other arrays, and the memory that they are in."""
