"""What a user calls: import, driver, artefact and command line."""
