"""What every other part may use: ids, clock, errors, units. Imports only the standard library and msgspec."""
