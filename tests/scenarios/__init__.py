"""Whole stories, from inputs to decisions."""
