"""A batch's features as kernels take them: products of some made, values in units of their fields."""
