"""The built-in trainer: GPTs of the autoresearch family. Only `trainer`, `levers` and `resolve` are free of torch."""
