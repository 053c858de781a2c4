"""OCS, in which Nextcloud's clients ask for what is not a file. Source: Nextcloud's developer manual, "OCS APIs"; Open Collaboration Services 1.6."""
