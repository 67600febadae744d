"""The references: what an operator computes, in plain PyTorch that can be read; one module per operator or family.

A reference accepts every call, can be differentiated as often as the field needs, and is what `torch.compile` sees. All
other implementations are measured against it.
"""
