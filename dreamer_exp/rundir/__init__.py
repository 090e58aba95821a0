"""Run directories: layout, atomic writes, reading, listing, provenance. Neither ray nor torch is imported."""
