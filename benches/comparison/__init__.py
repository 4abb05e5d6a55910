"""The side-by-side runs of `benches/compare`. Only Python's standard library; nothing here ends a process it did not start."""
