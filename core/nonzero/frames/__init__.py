"""DataFrames to rows, for :mod:`nonzero.sklearn` and :mod:`nonzero.river`: their extras bring narwhals."""
