"""What runs during tests: a feed's graph, servers, brokers, object stores, processes that are killed, and waits."""
