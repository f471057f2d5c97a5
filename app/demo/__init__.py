"""The demo: simulated CRMs and platforms, real pipeline data, one command."""
