"""The services of the cloud. Between them: hadoop > drive > compute > image, volume, network, object > identity, through `service.py` only."""
