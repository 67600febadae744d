"""Implementations made of kernels that PyTorch already has; one module per operator or family.

Where one has reasons of its own not to be used, its module has `refuse_native`.
"""
