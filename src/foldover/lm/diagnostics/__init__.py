"""What a trained model is like inside: pure figures of weights and predictions, and what a forward pass shows.

`weights` and `predictions` are arithmetic on arrays, without torch; `observe` runs a model; `examine` puts a
`Diagnosis` together from a kept state. Submodules are imported one by one, torch late.
"""
