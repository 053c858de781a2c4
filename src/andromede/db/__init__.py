"""The database: engines for SQLite and PostgreSQL, column types, transactions, migrations. Knows no table of any service."""
