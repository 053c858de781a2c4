"""The program of a node of a Hadoop cluster; it runs inside the image `hadoop` as root, with Python's standard library alone.

It knows nothing but its metadata service, which it asks for the cluster's document and tells its state (`cloud`). From the document
follow the sites (`sites`), the daemons (`daemons`), who is to leave (`leaving`) and the jobs (`jobs`). Nothing of the rest of
andromede may be imported here, and nothing there imports this.
"""
