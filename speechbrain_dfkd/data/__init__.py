"""From folders of recordings to the batches a Brain trains on.

``dataset`` needs torch; everything that the preparation runs in worker
processes does not import it, so that a worker starts fast and stays small.
"""
