"""Figures: pure functions from data to a plotly Figure. They know numbers and colours, and compute nothing."""
