"""Quantization schemes: each module turns the simplified float graph into the graph that is deployed."""
