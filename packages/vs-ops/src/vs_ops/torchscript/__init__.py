"""Operators that the talk scripts, scripted at their first call; one module per operator or family.

A scripted function is written in a subset of Python, in which dtypes and constants are handed in.
"""
