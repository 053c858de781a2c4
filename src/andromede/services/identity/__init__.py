"""Identity v3: who people are, what they may do where, and the tokens that prove it."""
