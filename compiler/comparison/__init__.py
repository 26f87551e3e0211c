"""What changed from one artefact to another."""
