"""What venues publish, turned into instruments: presets of their rules, and tables of their brackets."""
