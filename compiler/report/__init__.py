"""Reports: one HTML file that shows where a compiled network lies, how long it takes and what it loses."""
