"""Block Storage v3: volumes, snapshots, types, attachments, backups and what goes with them."""
