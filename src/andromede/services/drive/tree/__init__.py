"""The tree of files in the database: functions over a connection, within whichever transaction the caller has open."""
