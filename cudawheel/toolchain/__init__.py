"""Where a build's CUDA, C++ compiler and Python come from, and the environment it runs in.

Facts of the machine (environment, folders, PATH) are arguments throughout, so all of it is tested without a toolkit.
"""
