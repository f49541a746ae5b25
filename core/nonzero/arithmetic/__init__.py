"""What kernels compute with: instructions that Numba lacks; exp, log and kin of one number or of eight."""
