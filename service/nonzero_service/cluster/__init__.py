"""Several nodes that share one database: one of them writes, the others follow."""
