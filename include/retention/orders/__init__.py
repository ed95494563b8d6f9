"""Land the files of a day, validate them, publish orders, refresh the statistics of the customers touched."""
