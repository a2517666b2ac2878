"""The meaning: one deterministic fold from recorded facts to decisions about isolated margin."""
