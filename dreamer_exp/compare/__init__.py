"""Comparison of run directories: table, statistics, figures and a page. Neither ray nor torch is imported."""
