"""Figures and pictures of a stem."""
