"""De-identification for export: PS3.15 Annex E, by building anew what is allowed. Pure."""
