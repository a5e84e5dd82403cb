"""The on-disk queue: names, insertion, the queue service and its clients."""
