"""The drive: everybody's files as a tree in the database, their content as chunks in the blob store."""
