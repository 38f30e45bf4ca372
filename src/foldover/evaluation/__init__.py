"""Measuring a model, and proving that the measure is lawful. Submodules are imported one by one, torch late."""
