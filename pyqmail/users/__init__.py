"""Who controls an address: users/assign, users/cdb, the system's accounts."""
