"""Quantise, pack, entropy-code under a byte cap, and restore. Submodules are imported one by one, torch late."""
