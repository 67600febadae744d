"""Triton kernels, one module per operator or family; importing one of them imports Triton and registers its operators.

Nothing imports these modules before an implementation named "triton" is called. A module holds kernels, the custom
operators around them (namespace `vs_ops`, with shapes for the compiler and gradients), and the function that the
dispatch calls. How it is done is best read in `hinge`, the smallest.
"""
