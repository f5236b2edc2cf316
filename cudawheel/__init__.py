"""Wheel factory and PEP 517 build backend for CUDA extensions of PyTorch."""
