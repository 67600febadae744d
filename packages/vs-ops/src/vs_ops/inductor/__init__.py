"""What has to be written for PyTorch's compiler; one module per operator or family.

Operators whose reference the compiler takes as it is have no module here: their records compile the reference.
"""
