"""Printers: programs and derivations as text that a person reads."""
